"""Steps of the rules of slides."""
