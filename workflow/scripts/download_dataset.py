"""Rule download_dataset: a public data set to the store, resumed and checked."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.download_dataset import download_dataset

    download_dataset(snakemake.params.dataset, Path(str(snakemake.output.file)))
