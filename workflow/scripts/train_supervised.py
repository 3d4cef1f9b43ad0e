"""Rule train_supervised: a network trained on labels, every task, setting, seed and fold."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
