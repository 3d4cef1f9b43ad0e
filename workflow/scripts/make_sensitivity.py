"""Rule make_sensitivity: the table of s1 and s2."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.config.resources import RESOURCES
    from mirrorflow.steps.training.probe_sensitivity import make_sensitivity

    cases = zip(snakemake.params.cases, snakemake.input.sheets, strict=True)
    make_sensitivity(
        [{**case, "path": path} for case, path in cases],
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        Path(snakemake.output.csv).with_suffix(""),
    )
