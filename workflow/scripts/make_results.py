"""Rule make_results: the long table, ours beside the published values."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
