"""Rule download_dataset: a public data set to the store, resumed and checked."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
