"""Rule measure_complexity: parameters, operations, throughput and memory of every network."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.training.measure_complexity import measure_complexity

    measure_complexity(
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        Path(snakemake.output.csv).with_suffix(""),
        snakemake.params.settings,
        threads=snakemake.threads,
    )
