"""Rule evaluate: metrics and intervals of every method of a protocol and cohort."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
