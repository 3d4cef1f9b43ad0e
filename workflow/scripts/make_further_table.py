"""Rule make_further_table: k-shot settings, ablations, gene sets, weights, adaptation, other variants."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.results.variant_tables import make_further_table

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
