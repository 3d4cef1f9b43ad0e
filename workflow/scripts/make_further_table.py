"""Rule make_further_table: k-shot settings, ablations, gene sets, weights, adaptation, TTA's tables, other variants."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
