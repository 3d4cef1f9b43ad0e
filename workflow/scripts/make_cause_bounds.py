"""Rule make_cause_bounds: what the dead of unknown cause could change."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
