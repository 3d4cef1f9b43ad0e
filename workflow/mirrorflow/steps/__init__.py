"""What a rule does, a module a rule: read, call the science, write."""
