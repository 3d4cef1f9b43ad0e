"""Rule make_optimism: what each published choice is worth."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
