"""Rule select_genes: the genes a fold's models see, chosen with the labels the protocol allows."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.cohorts.splits import selection_patients
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.expression.select_genes import select_genes
    from mirrorflow.store.tables import read_cohort, read_fold

    cohort, _ = read_cohort(snakemake.input.cohort)
    fold = read_fold(snakemake.input.split)
    select_genes(
        Path(snakemake.input.expression),
        selection_patients(cohort, fold, snakemake.params.scope, snakemake.params.seed),
        dict(zip(cohort["patient"], cohort["label"], strict=True)),
        Path(snakemake.output.manifest),
        snakemake.params.settings,
        fold=int(snakemake.wildcards.fold),
        census=Path(snakemake.input.census) if snakemake.input.census else None,
        drivers=RESOURCES / "drivers.tsv",
        seed=snakemake.params.seed,
        threads=snakemake.threads,
        first=Path(snakemake.input.first) if snakemake.input.first else None,
    )
