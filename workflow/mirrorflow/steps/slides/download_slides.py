"""Rule download_slides: the slide files of a shard, resumed and checked. Free of torch."""

from dataclasses import dataclass
from pathlib import Path

from mirrorflow.runtime.job import Job
from mirrorflow.steps.slides.gdc_files import STATUS_COLUMNS, fetch_all, marker, of_shard, status_row
from mirrorflow.store.gdc import GdcSlide
from mirrorflow.store.ledger import write_rows


@dataclass(frozen=True)
class Inputs:
    """The sheet of :mod:`~mirrorflow.steps.slides.query_gdc`; slides are fetched to the folder where it lies."""

    sheet: Path


@dataclass(frozen=True)
class Outputs:
    """What there is of each slide of the shard (TSV)."""

    status: Path


@dataclass(frozen=True)
class Params:
    """Which shard, of how many."""

    shard: int
    shards: int


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Fetch the slides of the shard."""
    download_shard(inputs.sheet, outputs.status, (params.shard, params.shards))


def download_shard(sheet: Path, status: Path, shard: tuple[int, int]) -> None:
    """Fetch the slides of a shard (its number, of how many) that are not there and were not deleted on purpose.

    Writes ``status`` (TSV). Raises InputError naming the slides that did not come; those that did are kept.
    """
    slides = of_shard(sheet, shard)
    states = {slide.slide_id: _state(slide, sheet.parent) for slide in slides}
    fetch_all([slide for slide in slides if states[slide.slide_id] == "fetched"], sheet.parent)
    write_rows(status, STATUS_COLUMNS, [status_row(slide, states[slide.slide_id]) for slide in slides])


def _state(slide: GdcSlide, folder: Path) -> str:
    """What there is to do: a file under its own name was checked when it got it."""
    path = folder / slide.path
    if path.exists() and path.stat().st_size == slide.size:
        return "there"
    return "deleted" if marker(path).exists() else "fetched"
