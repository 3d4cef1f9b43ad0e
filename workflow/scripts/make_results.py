"""Rule make_results: the long table, ours beside the published values."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
