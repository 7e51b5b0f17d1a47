"""Jobs: what is run, where its state lives, and how a run goes.

``spec``       what a job is and how a run is to go
``directory``  the job directory on disk and its lock
``root``       the directory that is to be scanned
``preflight``  what has to be right before anything is written
``units``      directories and slices as units of the farm
``slices``     slices under way, on a rank
``pipeline``   a worker: scan, diff, collections, entries, in threads of its own
``renames``    what is gone, and there again under another name
``subtrees``   directories that are left for a later pass
``removal``    what is gone, once it is to be deleted
``arrivals``   what is left alone for now: files still written, directories not ready
``release``    files that have served, once they are to be taken away
``disposal``   moving or deleting a file, and nothing but it
``tools``      what a rank works with: session, handler, checkpoint, recorder
``remains``    bundles under way, and what is left of those of a killed run
``recorder``   where outcomes go: manifest segments, failures, tally
``merging``    what ranks recorded becomes the checkpoint, by all of them
``tally``      what is counted
``signals``    signals that end a command
``limits``     when a run is to end by itself
``stopping``   a run that is to end early: signals, requests, limits
``profile``    when each step began and ended
``unknown``    what is in the catalog without a file
``doctor``     whether all is here that a run needs
``hosts``      what the hosts of a world have in common
``log``        a rank's log
``opening``    what has to be right before a run, and the locked job
``phases``     what all ranks of a run do, one phase after the other
``run``        the life cycle of a run in an MPI world
``summary``    what a run reports in the end

``progress``      how far a run is
``reporter``      tells so while it goes on
``display``       how it is drawn
``terminal``      what it is drawn on

``status``        where a job stands, by its directory and the batch system
``batch``         what Slurm knows of batch jobs, and handing it new ones
``submission``    what is right before a job is handed over
``batch_script``  the script that is

``scan``          the life cycle of a scan without a zone
``survey``        a worker of it: directories read in threads, counted, handed to whoever records them
``manifest_out``  where its manifest is written
``listing``       what it finds, entry by entry, as text
``statistics``    what it found, for people and programs

``verify``       the life cycle of a verification: whether file system, record and catalog agree
``inspector``    a worker of it: visits as a run does, and compares
``differences``  how the three can differ, and what puts it right
``findings``     where differences go, and their counts
``verify_text``  a verification, for people and programs

``failures``   what failed in a run, grouped
``report``     the summary of a run, read again

``plan``       the life cycle of a plan: what a run would do
``planner``    a worker of it: visits as a run does, with an ingestor and a recorder that only count
``forecast``   what it counts
``plan_text``  the plan, for people and programs

``tables``      the manifest or checkpoint that a user means
``inspection``  what is in it, and how two of them differ, for people and programs
``output``      stdout whose reader may have seen enough, files that appear whole
``text``        figures as people read them
"""
