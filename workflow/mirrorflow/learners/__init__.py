"""A method meets a fold: its inputs, its training, its predictions."""
