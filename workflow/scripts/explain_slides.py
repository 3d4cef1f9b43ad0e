"""Rule explain_slides: what a method's models saw on slides of evaluation patients."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
