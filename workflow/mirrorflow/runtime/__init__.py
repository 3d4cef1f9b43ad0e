"""How the process of a job lives: set-up, locks, other processes, progress, files that are whole or absent."""
