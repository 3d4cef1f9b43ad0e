"""Rule probe_sensitivity: s1 and s2 of the evaluation units of every fold and seed."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
