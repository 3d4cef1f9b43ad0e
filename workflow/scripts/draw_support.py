"""Rule draw_support: the support sets of k-shot learning, drawn once and stored."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.cohort.cohorts import draw_support

    draw_support(
        snakemake.input.cohort,
        snakemake.input.splits,
        snakemake.output.support,
        **snakemake.params.settings,
    )
