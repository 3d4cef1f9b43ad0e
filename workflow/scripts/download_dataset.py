"""Rule download_dataset: a public data set to the store, resumed and checked."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
