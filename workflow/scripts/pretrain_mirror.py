"""Rule pretrain_mirror: a self-supervised method on a fold's training patients (or on every fold's, sharing a GPU)."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.learners.pretrained import Machine, PairedFiles, PretrainTask
    from mirrorflow.steps.training.pretrain_mirror import FoldFiles, pretrain_folds
    from mirrorflow.store.tables import read_cohort

    params, given = snakemake.params, snakemake.input
    compute = dict(snakemake.config["compute"])
    paths = [given.splits, given.genes, snakemake.output.records]
    if len(params.folds) == 1:
        paths = [[path] for path in paths]
    folds = [FoldFiles(fold, *map(Path, files)) for fold, *files in zip(params.folds, *paths, strict=True)]
    task = PretrainTask(
        to_units(read_cohort(given.cohort)[0], params.unit),
        PairedFiles(Path(given.index), Path(given.expression), folds[0].genes),
        [],
        params.settings,
        seed=int(snakemake.wildcards.seed),
        fold=folds[0].fold,
        rna_scaling=params.rna_scaling,
        rna_clip=params.rna_clip,
        family=params.family,
    )
    share = compute.pop("gpu_share")
    pretrain_folds(task, folds, Machine(snakemake.threads, compute=compute), share=share, epoch=params.epoch)
