"""Rule download_slides: the slide files of a shard, resumed and checked."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.slides.gdc import download_shard

    shard = int(snakemake.wildcards.shard), snakemake.params.shards
    download_shard(Path(snakemake.input.sheet), Path(snakemake.output.status), shard)
