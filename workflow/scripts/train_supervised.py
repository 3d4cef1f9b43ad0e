"""Rule train_supervised: a network trained on labels, every task, setting, seed and fold."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
