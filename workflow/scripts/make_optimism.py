"""Rule make_optimism: what each published habit is worth."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.optimism import make_optimism

    make_optimism(
        snakemake.input.manifests,
        snakemake.input.results,
        snakemake.input.names,
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.habits,
        snakemake.params.settings,
    )
