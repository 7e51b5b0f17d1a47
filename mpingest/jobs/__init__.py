"""Jobs: spec and directory, lock, life cycle of a run, summary."""
