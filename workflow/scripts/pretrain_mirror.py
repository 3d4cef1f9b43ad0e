"""Rule pretrain_mirror: a self-supervised method on a fold's training patients (or on every fold's, sharing a GPU)."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.steps.training.pretrain_mirror import FoldFiles, pretrain_folds
    from mirrorflow.store.tables import read_cohort

    params, given = snakemake.params, snakemake.input
    compute = dict(snakemake.config["compute"])
    paths = [given.splits, given.genes, snakemake.output.records]
    if len(params.folds) == 1:
        paths = [[path] for path in paths]
    pretrain_folds(
        to_units(read_cohort(given.cohort)[0], params.unit),
        Path(given.index),
        Path(given.expression),
        [FoldFiles(fold, *map(Path, files)) for fold, *files in zip(params.folds, *paths, strict=True)],
        params.settings,
        share=compute.pop("gpu_share"),
        family=params.family,
        seed=int(snakemake.wildcards.seed),
        rna_scaling=params.rna_scaling,
        rna_clip=params.rna_clip,
        epoch=params.epoch,
        threads=snakemake.threads,
        compute=compute,
    )
