"""Rule explain_genes: which genes a method's models look at."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
