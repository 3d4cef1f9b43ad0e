"""Rule simulate_cohort: a cohort with planted signals in the formats of the real sources."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.demo.cohort import simulate_cohort

    simulate_cohort(Path(str(snakemake.output.sheet)).parent, snakemake.params.settings, workers=snakemake.threads)
