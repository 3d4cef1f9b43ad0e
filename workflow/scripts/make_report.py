"""Rule make_report: everything of a run on one self-contained page."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
