"""The one place that knows how files are laid out: h5, parquet, safetensors, sheets."""
