"""Everything a run will open, opened before it starts."""
