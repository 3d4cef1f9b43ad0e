"""Rule query_gdc: the slides that GDC has of the cohort's projects, as a sheet."""

from mirrorflow.runtime.job import run_step

run_step(snakemake)
