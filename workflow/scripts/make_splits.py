"""Rule make_splits: folds of patients, made here or read from published files."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.cohort.cohorts import make_splits

    make_splits(
        snakemake.input.cohort,
        snakemake.output.folds,
        snakemake.output.report,
        kind=snakemake.params.kind,
        folder=snakemake.params.folder,
        seed=snakemake.params.seed,
        evaluate=snakemake.params.evaluate,
    )
