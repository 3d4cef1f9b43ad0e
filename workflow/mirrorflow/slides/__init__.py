"""Whole-slide images to patch features: reader, mask, grid, encoders. Arrays in, arrays out."""
