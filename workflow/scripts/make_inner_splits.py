"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
