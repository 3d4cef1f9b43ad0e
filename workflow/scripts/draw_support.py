"""Rule draw_support: the support sets of k-shot learning, drawn once and stored."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
