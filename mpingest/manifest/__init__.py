"""What was seen and what became of it.

states      Change, Outcome, DirectoryState
block       consecutive rows in memory, and their order
table       sorted tables in HDF5: the file format
combine     joining pieces of several tables: the latest record wins
segment     SegmentWriter: what one rank records in one run
ordered     OrderedSegments: what a rank of a scan finds, as few tables as its order allows
ranges      merging what tables hold in one range of the order
parts       what ranks make of ranges, and how that becomes one table
merge       checkpoint + segments -> next checkpoint, in bounded memory, shared among ranks
checkpoint  Checkpoint: reading one directory, a subtree, all
diff        DirectoryDiff: a directory against its rows; what "changed" and "settled" mean
vanished    VanishedIndex: what is gone, found by its inode
table_diff  two tables against each other
totals      what a table holds in all
export      rows as CSV, JSON lines, Parquet, paths
parquet     the third of these, by pyarrow
verify      reading a whole table and checking it

Imports ``scan`` for the entry batch; knows nothing of iRODS, MPI or the job directory's layout.
"""
