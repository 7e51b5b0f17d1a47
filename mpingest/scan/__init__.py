"""Reading directories into entry batches. Imports nothing above itself.

directory  one directory, portion by portion: names read, some left out, the others stat'ed
names      slices of names, as they travel; entries: the same with their stats, as columns
census     totals, histograms, the largest: counted by parts, merged over threads and ranks
text       paths as text on one line
excludes   what is left out, by type and by regular expression
pool       the threads that stat together where stats are slow; rate: how many a second they may do
backend    which implementation reads and stats: ``_native`` (C, GIL released) or ``_portable``
"""
