"""Rule make_training_folds: the table of survival probes on training folds."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
