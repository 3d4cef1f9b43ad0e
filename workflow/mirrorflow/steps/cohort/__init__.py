"""Steps of the rules of cohort."""
