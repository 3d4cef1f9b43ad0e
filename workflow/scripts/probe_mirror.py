"""Rule probe_mirror: linear heads on frozen embeddings, every task, setting, seed and fold."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
