"""Rule train_supervised: a network trained on labels, every task, setting, seed and fold."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    import torch

    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.learners.inputs.bagged import BaggedInputs
    from mirrorflow.learners.predict import Plan, predict_method
    from mirrorflow.plan.paths import GeneManifest, by_inner_fold
    from mirrorflow.store.tables import read_cohort

    torch.set_num_threads(snakemake.threads)
    params, method = snakemake.params, snakemake.params.settings
    inputs = BaggedInputs(
        units=to_units(read_cohort(snakemake.input.cohort)[0], params.protocol["unit"]),
        inputs=method["inputs"],
        index=snakemake.input.index,
        expression=snakemake.input.expression,
        genes=snakemake.input.genes,
        rna_scaling=params.protocol["rna_scaling"],
        clip=params.rna["clip"],
        feature_scaling=method["train"]["feature_scaling"],
        cache_gb=method["train"]["cache_gb"],
        gene_sets=method.get("gene_sets"),
    )
    few_shot = inputs.with_genes(snakemake.input.few_shot_genes) if snakemake.input.few_shot_genes else None
    plan = Plan.of(snakemake.input, params, method)
    inner_genes = by_inner_fold(GeneManifest, snakemake.input.inner_genes) or [[]] * len(plan.inner_splits)
    inner = [inputs.with_genes(genes) for genes in inner_genes]
    manifest = str(snakemake.output.manifest)
    folder = str(Path(manifest).parent)
    predict_method(plan, inputs, folder, manifest, snakemake.wildcards.method, few_shot=few_shot, inner=inner)
