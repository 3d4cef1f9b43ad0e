"""Rule make_results: the long table, ours beside the published values."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.results.evaluate import make_results

    make_results(
        snakemake.input.metrics,
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        snakemake.output.results,
        snakemake.params.config,
    )
