"""Rule evaluate: metrics and intervals of every method of a protocol and cohort."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.records import hold_predictions
    from mirrorflow.steps.results.evaluate import evaluate

    hold_predictions(snakemake.params.planned)
    evaluate(
        snakemake.input.manifests,
        snakemake.input.cohort,
        snakemake.input.splits,
        snakemake.output.metrics,
        snakemake.params.settings,
        audit=snakemake.input.audit,
        beside=snakemake.input.beside,
    )
