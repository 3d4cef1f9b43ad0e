"""Rule audit: what was really used under a protocol, held against what it claims."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.audit.inputs import InputFiles
    from mirrorflow.audit.source import Source
    from mirrorflow.plan.paths import CohortFile
    from mirrorflow.steps.audit.audit import run_audit

    given = snakemake.input
    source = None
    if given.source_cohort:
        name = CohortFile.parse(given.source_cohort).cohort
        source = Source(name, given.source_cohort, given.source_splits, given.source_genes, given.source_models)
    run_audit(
        given.cohort,
        given.splits,
        given.genes,
        given.manifests,
        str(Path(str(snakemake.output.record)).with_suffix("")),
        protocol=snakemake.params.protocol,
        shots=snakemake.params.shots,
        name=snakemake.wildcards.protocol,
        scaled_upstream=snakemake.params.scaled_upstream,
        support=given.support,
        models=given.models,
        few_shot_genes=given.few_shot_genes,
        expression=given.expression,
        source=source,
        inner_splits=given.inner_splits,
        inner_genes=given.inner_genes,
        own_genes=given.own_genes,
        split_summary=given.split_summary,
        site_kind=snakemake.params.site_kind,
        inputs=InputFiles(
            dict(zip(snakemake.params.encoders, given.indexes, strict=True)),
            given.matrix,
            snakemake.params.columns,
            given.lists,
        ),
    )
