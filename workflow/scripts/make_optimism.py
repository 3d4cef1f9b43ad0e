"""Rule make_optimism: what each published habit is worth."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.optimism import make_optimism
    from mirrorflow.resources import RESOURCES

    make_optimism(
        snakemake.input.manifests,
        snakemake.input.results,
        RESOURCES / "names.tsv",
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.habits,
        snakemake.params.settings,
    )
