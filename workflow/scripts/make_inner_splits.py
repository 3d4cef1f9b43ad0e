"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.learners.tasks import in_rows
    from mirrorflow.steps.cohort.cohorts import make_inner_splits

    given = snakemake.input
    outputs = in_rows(snakemake.output.folds, len(given.splits))
    make_inner_splits(given.cohort, given.splits, outputs, **snakemake.params.settings)
