"""Rule simulate_cohort: a cohort with planted signals in the formats of the real sources."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.simulation.cohort import simulate_cohort

    simulate_cohort(Path(str(snakemake.output.sheet)).parent, snakemake.params.settings, workers=snakemake.threads)
