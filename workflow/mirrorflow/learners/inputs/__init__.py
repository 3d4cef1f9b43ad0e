"""What methods see of a fold: bags, vectors, expression, clinical columns."""
