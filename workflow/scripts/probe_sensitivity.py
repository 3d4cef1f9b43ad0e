"""Rule probe_sensitivity: s1 and s2 of the evaluation units of every fold and seed."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.learners.inputs.vectors import Embedded
    from mirrorflow.steps.training.probe_sensitivity import Plan, model_folders, probe_sensitivity

    given, params = snakemake.input, snakemake.params
    probe_sensitivity(
        Plan.of(given, params, {"family": params.family, "probe": params.probe}),
        Embedded.of_records(given.embeddings, resampled=False),
        Path(given.index),
        Path(given.expression),
        model_folders(given.models),
        Path(snakemake.output.sheet),
        f"sensitivity {snakemake.wildcards.method}",
        threads=snakemake.threads,
    )
