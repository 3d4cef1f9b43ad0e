"""Rule make_sensitivity: the table of s1 and s2."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
