"""Rule fit_baseline: a classical method on pooled features, genes or clinical columns, every task and fold."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.learners.inputs.clinical import ClinicalColumns
    from mirrorflow.learners.inputs.vectors import NoInputs, PooledInputs
    from mirrorflow.learners.predict import Plan, predict_method
    from mirrorflow.plan.records import write_plan
    from mirrorflow.store.tables import read_cohort

    params, method = snakemake.params, snakemake.params.settings
    units = to_units(read_cohort(snakemake.input.cohort)[0], params.protocol["unit"])
    if not method["inputs"]:
        vectors = NoInputs()
    elif method["inputs"] == ["clinical"]:
        vectors = ClinicalColumns(units, method["columns"])
    else:
        vectors = PooledInputs(
            units=units,
            inputs=method["inputs"],
            pooling=method.get("pooling", "mean"),
            index=snakemake.input.index or None,
            expression=snakemake.input.expression,
            genes=snakemake.input.genes,
            rna_scaling=params.protocol["rna_scaling"],
            clip=params.rna["clip"],
        )
    few_shot = vectors.with_genes(snakemake.input.few_shot_genes) if snakemake.input.few_shot_genes else None
    plan = Plan.of(snakemake.input, params, method)
    manifest = str(snakemake.output.manifest)
    folder = str(Path(manifest).parent)
    predict_method(plan, vectors, folder, manifest, snakemake.wildcards.method, few_shot=few_shot)
    write_plan(snakemake.params.planned)
