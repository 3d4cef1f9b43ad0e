"""Frames in, one self-contained HTML page out: no files, nothing loaded from elsewhere."""
