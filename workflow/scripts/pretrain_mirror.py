"""Rule pretrain_mirror: a self-supervised method on a fold's training patients (or on every fold's, sharing a GPU)."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
