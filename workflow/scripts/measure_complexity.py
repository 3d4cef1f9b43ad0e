"""Rule measure_complexity: parameters, operations, throughput and memory of every network."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.complexity import measure_complexity
    from mirrorflow.resources import RESOURCES

    measure_complexity(
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        Path(snakemake.output.csv).with_suffix(""),
        snakemake.params.settings,
        threads=snakemake.threads,
    )
