"""Steps of the rules of results."""
