"""A finished run, used again: new patients, exports, the Python API."""
