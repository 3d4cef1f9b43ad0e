"""Rule patch_slides: tissue masks and patch grids of a shard of slides."""

from pathlib import Path

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.plan.store_paths import PatchStatus
    from mirrorflow.steps.slides.gdc import restorer
    from mirrorflow.steps.slides.patch_slides import patch_shard
    from mirrorflow.store.slide_sheet import read_slide_sheet, shard_of

    sheet = Path(snakemake.input.sheet)
    rows = read_slide_sheet(sheet, snakemake.params.columns)
    shard = [row for row in rows if shard_of(row.slide_id, snakemake.params.shards) == int(snakemake.wildcards.shard)]
    folder = PatchStatus.parse(snakemake.output.status).files
    patch_shard(
        shard,
        folder,
        Path(snakemake.output.status),
        snakemake.params.settings,
        workers=snakemake.threads,
        restore=restorer(sheet),
    )
