"""Rule extract_features: patch features of a shard of slides, read straight from the slides."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
