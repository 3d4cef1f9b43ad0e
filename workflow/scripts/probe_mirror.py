"""Rule probe_mirror: linear heads on frozen embeddings, every task, setting, seed and fold."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.predict import Plan, predict_method
    from mirrorflow.jobs.representations import Embedded

    params = snakemake.params
    plan = Plan(
        cohort=snakemake.input.cohort,
        splits=snakemake.input.splits,
        support=snakemake.input.support,
        protocol=params.protocol,
        tasks=params.tasks,
        shots=params.shots,
        seeds=params.seeds,
        bins=params.probe["survival_bins"],
        method={"family": "mirror", "probe": params.probe},
        genes=snakemake.input.genes,
        few_shot_genes=snakemake.input.few_shot_genes,
    )
    resampled = params.protocol["probe_features"] == "resampled_dropout"
    vectors, few_shot = (
        Embedded.of_records(dict(zip(params.seeds, records, strict=False)), resampled=resampled)
        for records in (snakemake.input.embeddings, snakemake.input.few_shot_embeddings)
    )
    manifest = snakemake.output.manifest
    folder = str(Path(str(manifest)).parent)
    few_shot = few_shot if snakemake.input.few_shot_embeddings else None
    predict_method(plan, vectors, folder, manifest, snakemake.wildcards.method, few_shot=few_shot)
