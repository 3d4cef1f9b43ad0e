"""Rule drop_slides: the slide files of a shard are deleted once all its features exist."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
