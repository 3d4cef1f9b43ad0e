"""Rule patch_slides: tissue masks and patch grids of a shard of slides."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
