"""Rule make_training_folds: the table of survival probes on training folds."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
