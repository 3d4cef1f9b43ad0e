"""Rule draw_prototypes: figures of TTA's prototypes, from a fold's saved model and its evaluation patients."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
