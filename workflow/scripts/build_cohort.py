"""Rule build_cohort: patients, labels, outcomes, slides and expression joined; who was dropped and why."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.cohort.cohorts import build_cohort

    build_cohort(
        snakemake.params.clinical,
        snakemake.params.settings,
        dict(zip(snakemake.params.encoders, snakemake.input.indexes, strict=True)),
        snakemake.input.expression,
        snakemake.output.cohort,
        snakemake.output.dropped,
        snakemake.output.flow,
    )
