"""Rule draw_figures: a cohort's figures, from predictions, histories and results."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
