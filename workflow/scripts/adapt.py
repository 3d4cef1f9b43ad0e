"""Rule adapt: another cohort's frozen encoders, a new RNA embedding and a head; every task, seed and fold."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.training.adapt import Adaptation, adapt

    params, given = snakemake.params, snakemake.input
    adapt(
        Adaptation(
            cohort=given.cohort,
            splits=given.splits,
            expression=given.expression,
            genes=given.genes,
            embeddings=given.embeddings,
            models=given.models,
            protocol=params.protocol,
            tasks=params.tasks,
            seeds=params.seeds,
            bins=params.bins,
            method={**params.settings, "probe": params.probe},
            clip=params.rna["clip"],
            saved=params.saved,
        ),
        str(snakemake.output.manifest),
        f"adapt {snakemake.wildcards.cohort} {snakemake.wildcards.method}",
        threads=snakemake.threads,
    )
