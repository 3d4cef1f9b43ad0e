"""Which slides a job works on: the rows of its shard."""

from collections.abc import Mapping
from pathlib import Path

from mirrorflow.plan.slides_seen import require_seen
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet, shard_of


def rows_of_shard(sheet: Path, columns: Mapping[str, str], cohort: str, shard: int, shards: int) -> list[SlideRow]:
    """The rows of shard number ``shard`` of ``shards``; ``columns`` are the config's names of the sheet's columns.

    Raises InputError where this machine sees fewer of a cohort's slides than were there when the run was planned.
    """
    rows = [row for row in read_slide_sheet(sheet, columns) if shard_of(row.slide_id, shards) == shard]
    require_seen(cohort, shard, [row.path for row in rows if row.path])
    return rows
