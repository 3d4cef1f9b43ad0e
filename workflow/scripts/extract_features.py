"""Rule extract_features: patch features of a shard of slides, read straight from the slides."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.store_paths import FeatureStatus, PatchStatus
    from mirrorflow.steps.slides.extract_features import extract_shard
    from mirrorflow.steps.slides.gdc import restorer
    from mirrorflow.store.slide_sheet import read_slide_sheet, shard_of

    sheet = Path(snakemake.input.sheet)
    rows = read_slide_sheet(sheet, snakemake.params.columns)
    shard = [row for row in rows if shard_of(row.slide_id, snakemake.params.shards) == int(snakemake.wildcards.shard)]
    speed = snakemake.params.speed
    extract_shard(
        shard,
        PatchStatus.parse(snakemake.input.patches).files,
        FeatureStatus.parse(snakemake.output.status).files,
        Path(snakemake.output.status),
        snakemake.params.encoder,
        {**snakemake.params.settings, "batch_size": speed["batch_size"]},
        threads=snakemake.threads,
        workers=speed["workers"],
        restore=restorer(sheet),
    )
