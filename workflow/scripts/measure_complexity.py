"""Rule measure_complexity: parameters, operations, throughput and memory of every network."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.complexity import measure_complexity

    measure_complexity(
        Path(snakemake.input.published),
        Path(snakemake.input.names),
        Path(snakemake.output.csv).with_suffix(""),
        snakemake.params.settings,
        threads=snakemake.threads,
    )
