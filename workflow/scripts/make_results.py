"""Rule make_results: the long table, ours beside the published values."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.evaluate import make_results
    from mirrorflow.resources import RESOURCES

    make_results(
        snakemake.input.metrics,
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        snakemake.output.results,
        snakemake.params.config,
    )
