"""Rule make_further_table: k-shot settings, ablations, gene sets, weights, adaptation, other variants."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.variant_tables import make_further_table
    from mirrorflow.resources import RESOURCES

    make_further_table(
        snakemake.wildcards.table,
        snakemake.input.results,
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.methods,
        snakemake.params.titles,
        snakemake.params.run,
    )
