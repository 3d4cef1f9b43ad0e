"""Rule draw_figures: a cohort's figures, from predictions, histories and results."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
