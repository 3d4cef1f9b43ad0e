"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.paths import SplitFile, by_inner_fold
    from mirrorflow.steps.cohort.cohorts import make_inner_splits

    given = snakemake.input
    outputs = by_inner_fold(SplitFile, snakemake.output.folds)
    make_inner_splits(given.cohort, given.splits, outputs, **snakemake.params.settings)
