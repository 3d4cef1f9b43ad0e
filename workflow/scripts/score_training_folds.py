"""Rule score_training_folds: a method's survival probe on training and evaluation units of every fold."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.results.training_folds import score_training_folds

    from mirrorflow.learners.inputs.vectors import Embedded
    from mirrorflow.learners.tasks import Plan

    given, params = snakemake.input, snakemake.params
    resampled = params.protocol["probe_features"] == "resampled_dropout"
    score_training_folds(
        Plan.of(given, params, {"family": params.family, "probe": params.probe}),
        Embedded.of_records(dict(zip(params.seeds, given.embeddings, strict=True)), resampled=resampled),
        Path(given.manifest),
        Path(given.audit),
        Path(snakemake.output.sheet),
        f"training folds {snakemake.wildcards.method}",
        strict=params.strict,
    )
