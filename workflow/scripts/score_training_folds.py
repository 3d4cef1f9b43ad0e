"""Rule score_training_folds: a method's survival probe on training and evaluation units of every fold."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.questions import Plan
    from mirrorflow.jobs.representations import Embedded
    from mirrorflow.jobs.training_folds import score_training_folds

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
