"""Rule make_splits: folds of patients, made here or read from published files."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
