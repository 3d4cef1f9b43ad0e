"""Rule make_results: the long table, ours beside the published values."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.evaluate import make_results

    make_results(
        snakemake.input.metrics,
        snakemake.input.published,
        snakemake.input.names,
        snakemake.output.results,
        snakemake.params.config,
    )
