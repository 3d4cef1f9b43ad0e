"""Rule evaluate: metrics and intervals of every method of a protocol and cohort."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
