"""Rule make_optimism: what each published choice is worth."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.plan.records import hold_predictions
    from mirrorflow.steps.results.make_optimism import make_optimism

    hold_predictions(snakemake.params.planned)
    make_optimism(
        snakemake.input.manifests,
        dict(zip(snakemake.params.cohorts, snakemake.input.cohorts, strict=True)),
        snakemake.input.results,
        RESOURCES / "names.tsv",
        str(Path(str(snakemake.output.csv)).with_suffix("")),
        snakemake.params.single_changes,
        snakemake.params.settings,
    )
