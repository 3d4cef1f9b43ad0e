"""Rule download_dataset: a public data set to the store, resumed and checked."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.cohort.download_dataset import download_dataset

    download_dataset(snakemake.params.dataset, Path(str(snakemake.output.file)))
