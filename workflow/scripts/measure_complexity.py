"""Rule measure_complexity: parameters, operations, throughput and memory of every network."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
