"""Steps of the rules of audit."""
