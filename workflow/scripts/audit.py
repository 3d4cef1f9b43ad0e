"""Rule audit: what was really used under a protocol, held against what it claims."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.audit_source import Source
    from mirrorflow.jobs.run_audit import run_audit

    given = snakemake.input
    source = None
    if given.source_cohort:
        name = Path(given.source_cohort).stem
        source = Source(name, given.source_cohort, given.source_splits, given.source_genes, given.source_models)
    run_audit(
        snakemake.input.cohort,
        snakemake.input.splits,
        snakemake.input.genes,
        snakemake.input.manifests,
        str(Path(str(snakemake.output.record)).with_suffix("")),
        protocol=snakemake.params.protocol,
        shots=snakemake.params.shots,
        name=snakemake.wildcards.protocol,
        scaled_upstream=snakemake.params.scaled_upstream,
        support=snakemake.input.support,
        models=snakemake.input.models,
        few_shot_genes=snakemake.input.few_shot_genes,
        expression=snakemake.input.expression,
        source=source,
        inner_splits=snakemake.input.inner_splits,
        inner_genes=snakemake.input.inner_genes,
        own_genes=snakemake.input.own_genes,
    )
