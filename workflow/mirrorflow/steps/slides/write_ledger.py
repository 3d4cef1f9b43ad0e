"""Rule write_ledger: one row a slide over all shards and encoders, and one picture of all slides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.errors import InputError
from mirrorflow.plan.store_paths import FeatureStatus
from mirrorflow.runtime.job import Job
from mirrorflow.slides.overlay import contact_sheet as draw_contact_sheet
from mirrorflow.store.images import read_rgb, write_jpeg
from mirrorflow.store.ledger import FEATURE_COLUMNS, LEDGER_COLUMNS, PATCH_COLUMNS, STATUSES, read_rows, write_rows

Row = dict[str, str]
SIDE, COLUMNS = 160, 10
MAX_JPEG_PIXELS = 65_000


@dataclass(frozen=True)
class Inputs:
    """Status files of all shards: of patching, and of every encoder, each in the encoder's folder."""

    patches: list[Path]
    features: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The ledger, beside the folder ``overlays``, and the picture of all slides."""

    ledger: Path
    sheet: Path


@dataclass(frozen=True)
class Params:
    """Encoders that see these patches."""

    encoders: list[str]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the ledger, and the contact sheet from it."""
    features: dict[str, list[Path]] = {encoder: [] for encoder in params.encoders}
    for path in inputs.features:
        features[FeatureStatus.parse(path).encoder].append(path)
    write_ledger(inputs.patches, features, outputs.ledger)
    contact_sheet(outputs.ledger.parent, outputs.ledger, outputs.sheet)


def write_ledger(patch_status: Sequence[Path], feature_status: Mapping[str, Sequence[Path]], ledger: Path) -> None:
    """Merge the status files of all shards into ``ledger`` (TSV), sorted by slide.

    ``feature_status`` maps encoders to their shards' files. A slide's status is the worst over patching and
    encoders; ``unreadable`` is the most any encoder lost, ``patches`` what is left. Raises InputError for a
    slide that two shards claim.
    """
    slides = _by_slide(patch_status, PATCH_COLUMNS)
    encoders = {name: _by_slide(paths, FEATURE_COLUMNS) for name, paths in feature_status.items()}
    rows = [
        _merged(slides[slide_id], {name: found[slide_id] for name, found in encoders.items() if slide_id in found})
        for slide_id in sorted(slides)
    ]
    write_rows(ledger, LEDGER_COLUMNS, rows)


def contact_sheet(folder: Path, ledger: Path, destination: Path) -> None:
    """All overlays of ``<folder>/overlays`` on one JPEG, the slides that went wrong first."""
    rows = read_rows(ledger, LEDGER_COLUMNS)
    rows.sort(key=lambda row: (-STATUSES.index(row["status"]), row["slide_id"]))
    overlays = [folder / "overlays" / f"{row['slide_id']}.jpg" for row in rows]
    pictures = [read_rgb(path) if path.exists() else None for path in overlays]
    columns = max(COLUMNS, -(-len(rows) * 2 * SIDE // MAX_JPEG_PIXELS))
    captions = [(row["slide_id"], _caption(row)) for row in rows]
    columns = min(columns, max(1, len(rows)))
    write_jpeg(destination, draw_contact_sheet(pictures, captions, side=SIDE, columns=columns))


def _by_slide(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for path in paths:
        for row in read_rows(path, columns):
            if row["slide_id"] in found:
                message = f"{path}: slide {row['slide_id']} is in another shard, too; run all shards again"
                raise InputError(message)
            found[row["slide_id"]] = row
    return found


def _merged(slide: Row, encoders: Mapping[str, Row]) -> Row:
    row = slide | {"unreadable": "0"}
    if slide["status"] == "failed":
        return row
    parts = {"": slide} | dict(encoders)
    row["status"] = max((part["status"] for part in parts.values()), key=STATUSES.index)
    lost = max((int(part["unreadable"] or 0) for part in encoders.values()), default=0)
    row["unreadable"] = str(lost)
    row["patches"] = str(int(slide["patches"] or 0) - lost)
    row["reason"] = _reasons(slide, encoders)
    row["seconds"] = f"{sum(float(part['seconds'] or 0) for part in parts.values()):.2f}"
    return row


def _reasons(slide: Row, encoders: Mapping[str, Row]) -> str:
    reasons = [slide["reason"]]
    reasons += [
        f"{name}: {part['reason']}"
        for name, part in encoders.items()
        if part["reason"] and not (slide["status"] == part["status"] == "no_tissue")
    ]
    return "; ".join(filter(None, reasons))


def _caption(row: Row) -> str:
    if row["status"] == "ok":
        return f"ok {row['patches']} patches"
    return f"{row['status']}: {row['reason']}"
