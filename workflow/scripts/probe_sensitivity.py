"""Rule probe_sensitivity: s1 and s2 of the evaluation units of every fold and seed."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.learners.inputs.vectors import Embedded
    from mirrorflow.steps.training.probe_sensitivity import Plan, model_folders, probe_sensitivity

    given, params = snakemake.input, snakemake.params
    folds = len(given.splits)
    records = {seed: given.models[i * folds : (i + 1) * folds] for i, seed in enumerate(params.seeds)}
    probe_sensitivity(
        Plan.of(given, params, {"family": params.family, "probe": params.probe}),
        Embedded.of_records(dict(zip(params.seeds, given.embeddings, strict=True)), resampled=False),
        Path(given.index),
        Path(given.expression),
        model_folders(records),
        Path(snakemake.output.sheet),
        f"sensitivity {snakemake.wildcards.method}",
        threads=snakemake.threads,
    )
