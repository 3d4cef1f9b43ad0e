"""Expression matrices to the genes a model sees."""
