"""Rule make_optimism: what each published choice is worth."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
