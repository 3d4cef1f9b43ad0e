"""Rule download_slides: the slide files of a shard, resumed and checked."""

from pathlib import Path

from mirrorflow.runtime.job import door

with door(snakemake):
    from mirrorflow.steps.slides.gdc import download_shard

    shard = int(snakemake.wildcards.shard), snakemake.params.shards
    download_shard(Path(snakemake.input.sheet), Path(snakemake.output.status), shard)
