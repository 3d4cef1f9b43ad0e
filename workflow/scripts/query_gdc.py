"""Rule query_gdc: the slides that GDC has of the cohort's projects, as a sheet."""

from mirrorflow.steps.start import run_step

run_step(snakemake)
