"""Rule probe_mirror: linear heads on frozen embeddings, every task, setting, seed and fold."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.learners.inputs.vectors import Embedded
    from mirrorflow.learners.predict import Plan, predict_method
    from mirrorflow.plan.paths import EmbeddingsRecord, by_inner_fold

    params = snakemake.params
    plan = Plan.of(snakemake.input, params, {"family": params.family, "probe": params.probe})
    resampled = params.protocol["probe_features"] == "resampled_dropout"
    inner_records = by_inner_fold(EmbeddingsRecord, snakemake.input.inner_embeddings)
    vectors, few_shot, *inner = (
        Embedded.of_records(records, resampled=resampled) if records else None
        for records in (snakemake.input.embeddings, snakemake.input.few_shot_embeddings, *inner_records)
    )
    manifest = str(snakemake.output.manifest)
    folder = str(Path(manifest).parent)
    predict_method(plan, vectors, folder, manifest, snakemake.wildcards.method, few_shot=few_shot, inner=inner)
