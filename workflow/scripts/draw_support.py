"""Rule draw_support: the support sets of k-shot learning, drawn once and stored."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.cohorts import draw_support

    draw_support(
        snakemake.input.cohort,
        snakemake.input.splits,
        snakemake.output.support,
        **snakemake.params.settings,
    )
