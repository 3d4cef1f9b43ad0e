"""Networks and losses. Tensors in, tensors out; no files, no loops over epochs."""
