"""Rule make_report: everything of a run on one self-contained page."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
