"""Rule select_genes: the genes a fold's models see, chosen with the labels the protocol allows."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
