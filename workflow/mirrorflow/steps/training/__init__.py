"""Steps of the rules of training."""
