"""Rule download_slides: the slide files of a shard, resumed and checked."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
