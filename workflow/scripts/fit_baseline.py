"""Rule fit_baseline: a classical method on pooled features and genes, every task, setting and fold."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.cohort import to_units
    from mirrorflow.jobs.predict import Plan, predict_method
    from mirrorflow.jobs.representations import Nothing, PooledInputs
    from mirrorflow.store.tables import read_cohort

    params, method = snakemake.params, snakemake.params.settings
    plan = Plan(
        cohort=snakemake.input.cohort,
        splits=snakemake.input.splits,
        support=snakemake.input.support,
        protocol=params.protocol,
        tasks=params.tasks,
        shots=params.shots,
        seeds=params.seeds,
        bins=params.bins,
        method=method,
        genes=snakemake.input.genes,
        few_shot_genes=snakemake.input.few_shot_genes,
    )
    vectors = (
        Nothing()
        if not method["inputs"]
        else PooledInputs(
            units=to_units(read_cohort(snakemake.input.cohort)[0], params.protocol["unit"]),
            inputs=method["inputs"],
            pooling=method.get("pooling", "mean"),
            index=snakemake.input.index or None,
            expression=snakemake.input.expression,
            genes=snakemake.input.genes,
            rna_scaling=params.protocol["rna_scaling"],
            clip=params.rna_clip,
        )
    )
    few_shot = vectors.with_genes(plan.few_shot_genes) if plan.few_shot_genes else None
    manifest = snakemake.output.manifest
    folder = str(Path(str(manifest)).parent)
    predict_method(plan, vectors, folder, manifest, snakemake.wildcards.method, few_shot=few_shot)
