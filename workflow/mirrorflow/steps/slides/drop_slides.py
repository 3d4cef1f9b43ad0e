"""Rule drop_slides: the slide files of a shard are deleted once all that is made of them exists. Free of torch."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.runtime.job import Job
from mirrorflow.steps.slides.gdc_files import STATUS_COLUMNS, Row, marker, of_shard, status_row
from mirrorflow.store.ledger import write_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The sheet of :mod:`~mirrorflow.steps.slides.query_gdc`."""

    sheet: Path


@dataclass(frozen=True)
class Outputs:
    """What became of each slide of the shard (TSV)."""

    record: Path


@dataclass(frozen=True)
class Folders:
    """Where patches (a folder a patching) and features (a folder an encoder) of the cohort lie."""

    patches: list[str]
    features: list[str]


@dataclass(frozen=True)
class Params:
    """Which shard, of how many, and what must exist of a slide."""

    shard: int
    shards: int
    folders: Folders


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Delete what is no longer needed."""
    finished = finished_in(params.folders.patches, params.folders.features)
    drop_shard(inputs.sheet, outputs.record, (params.shard, params.shards), finished)


def drop_shard(sheet: Path, record: Path, shard: tuple[int, int], finished: Callable[[str], bool]) -> None:
    """Delete the slide files of a shard of which all that is wanted exists; the others stay, and are named.

    ``finished`` says of a slide id whether all that is made of its slide exists. A marker in a deleted slide's place
    keeps it from being fetched again without need. ``record`` (TSV) says what became of each.
    """
    slides = of_shard(sheet, shard)
    rows: list[Row] = []
    for slide in slides:
        path = sheet.parent / slide.path
        if finished(slide.slide_id):
            marker(path).touch()
            path.unlink(missing_ok=True)
            rows.append(status_row(slide, "deleted"))
            continue
        logger.warning("%s: kept, its features do not exist; the ledger says why", path)
        rows.append(status_row(slide, "kept"))
    write_rows(record, STATUS_COLUMNS, rows)


def finished_in(patches: Sequence[str], features: Sequence[str]) -> Callable[[str], bool]:
    """Tells of a slide id whether the folders of all patchings and all encoders hold its file."""
    folders = [*(Path(folder) / "patches" for folder in patches), *(Path(folder) for folder in features)]
    return lambda slide_id: all((folder / f"{slide_id}.h5").exists() for folder in folders)
