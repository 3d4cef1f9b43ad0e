"""Rule measure_complexity: parameters, operations, throughput and memory of every network."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
