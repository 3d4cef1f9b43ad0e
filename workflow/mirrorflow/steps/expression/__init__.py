"""Steps of the rules of expression."""
