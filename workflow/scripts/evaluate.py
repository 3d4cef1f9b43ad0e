"""Rule evaluate: metrics and intervals of every method of a protocol and cohort."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.evaluate import evaluate

    evaluate(
        snakemake.input.manifests,
        snakemake.input.cohort,
        snakemake.input.splits,
        snakemake.output.metrics,
        snakemake.params.settings,
        audit=snakemake.input.audit,
        beside=snakemake.input.beside,
    )
