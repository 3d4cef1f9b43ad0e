"""Rule make_survival_field: methods over the cohorts of disease-specific survival, with pictures."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
