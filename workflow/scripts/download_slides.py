"""Rule download_slides: the slide files of a shard, resumed and checked."""

from pathlib import Path

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.gdc import download_shard

    shard = int(snakemake.wildcards.shard), snakemake.params.shards
    download_shard(Path(snakemake.input.sheet), Path(snakemake.output.status), shard)
