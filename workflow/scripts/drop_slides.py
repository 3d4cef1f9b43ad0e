"""Rule drop_slides: the slide files of a shard are deleted once all its features exist."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.slides.gdc import drop_shard, finished_in

    shard = int(snakemake.wildcards.shard), snakemake.params.shards
    finished = finished_in(**snakemake.params.folders)
    drop_shard(Path(snakemake.input.sheet), Path(snakemake.output.record), shard, finished)
