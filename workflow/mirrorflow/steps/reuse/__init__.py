"""Steps of a finished run that is used again."""
