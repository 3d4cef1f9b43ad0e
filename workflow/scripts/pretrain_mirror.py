"""Rule pretrain_mirror: a self-supervised method on a fold's training patients (or on every fold's, sharing a GPU)."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
