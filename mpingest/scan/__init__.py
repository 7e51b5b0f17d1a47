"""Reading directories into entry batches: names, lstat columns, excludes. Imports nothing above itself."""
