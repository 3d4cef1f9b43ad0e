"""Rule index_features: where the features of a cohort's slides lie, made here or elsewhere."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
