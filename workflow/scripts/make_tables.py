"""Rule make_tables: methods down, cohorts across, as CSV, Markdown and LaTeX."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
