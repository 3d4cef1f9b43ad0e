"""A cohort with planted signals, in the formats of the real sources."""
