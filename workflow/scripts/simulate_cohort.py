"""Rule simulate_cohort: a cohort with planted signals in the formats of the real sources."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
