"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.cohorts import make_inner_splits
    from mirrorflow.jobs.questions import in_rows

    given = snakemake.input
    outputs = in_rows(snakemake.output.folds, len(given.splits))
    make_inner_splits(given.cohort, given.splits, outputs, **snakemake.params.settings)
