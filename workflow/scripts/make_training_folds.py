"""Rule make_training_folds: the table of survival probes on training folds."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.results.training_folds import make_training_folds

    cases = zip(snakemake.params.cases, snakemake.input.sheets, strict=True)
    make_training_folds(
        [{**case, "path": path} for case, path in cases],
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        Path(snakemake.output.csv).with_suffix(""),
    )
