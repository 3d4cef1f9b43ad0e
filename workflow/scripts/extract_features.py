"""Rule extract_features: patch features of a shard of slides, read straight from the slides."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
