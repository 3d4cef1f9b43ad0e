"""Rule permute_outcomes: a classical method where outcomes were traded."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
