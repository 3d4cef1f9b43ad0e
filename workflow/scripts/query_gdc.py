"""Rule query_gdc: the slides that GDC has of the cohort's projects, as a sheet."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.slides.gdc import gdc_sheet

    gdc_sheet(Path(snakemake.output.sheet), snakemake.params.settings)
