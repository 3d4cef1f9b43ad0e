"""Rule score_training_folds: a method's survival probe on training and evaluation units of every fold."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
