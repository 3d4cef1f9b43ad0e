"""Rule index_features: where the features of a cohort's slides lie, made here or elsewhere."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.slides.index_features import index_features
    from mirrorflow.store.slide_sheet import read_slide_sheet

    rows = read_slide_sheet(Path(snakemake.input.sheet), snakemake.params.columns)
    statuses = [Path(path) for path in snakemake.input.shards]
    index_features(rows, Path(snakemake.params.folder), Path(snakemake.output.index), statuses)
