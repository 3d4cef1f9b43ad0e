"""Rule draw_support: the support sets of k-shot learning, drawn once and stored."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
