"""Who is in the study and in which fold. No files."""
