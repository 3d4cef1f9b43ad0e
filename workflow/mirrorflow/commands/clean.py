"""``mirrorflow clean``: what the store holds of other settings than a config's, listed and, if asked, deleted.

Only files that mirrorflow itself writes into a folder, and only in folders whose record says other settings.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.commands.check import named, read_config
from mirrorflow.errors import InputError
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import PLAN, FeaturePlan, PatchPlan
from mirrorflow.runtime.locks import require_unlocked

OURS = {
    "masks": (
        *("patches/*.h5", "masks/*.png", "overlays/*.jpg", "shards/*.tsv", "shards/*.given.json"),
        *(".reading/*", "ledger.tsv", "contact_sheet.jpg", PLAN),
    ),
    "features": ("*.h5", "shards/*.tsv", ".reading/*", PLAN),
}
"""What mirrorflow writes into a folder of each kind; anything else there is somebody's and stays."""


@dataclass(frozen=True)
class Outdated:
    """A folder of the store, the files of it that are ours, how many others lie there, and why it is outdated."""

    folder: Path
    files: Sequence[Path]
    others: int
    why: str

    def line(self) -> str:
        """In words, with the size."""
        size = sum(path.stat().st_size for path in self.files) / 1e9
        kept = f"; {self.others} other files there stay" if self.others else ""
        return f"{self.folder}: {len(self.files)} files, {size:.2f} GB{kept} ({self.why})"


def clean(paths: Sequence[Path], what: str, *, yes: bool) -> int:
    """List folders of the store that were made with other settings, and delete what mirrorflow wrote there if ``yes``.

    what: ``masks`` (masks, patches, and the features made of them) or ``features``. Returns 0. Raises MirrorflowError
    where a run is at work in this folder.
    """
    require_unlocked(Path.cwd())
    config = read_config(paths)
    found = list(outdated(config, what))
    for one in found:
        sys.stdout.write(f"{one.line()}\n")
    if not found:
        sys.stdout.write(f"{named(paths)}: the store {config['store']} holds no {what} of other settings\n")
    elif not yes:
        sys.stdout.write("nothing was deleted; add --yes to delete these files\n")
    else:
        for one in found:
            _delete(one)
        sys.stdout.write(f"deleted {sum(len(one.files) for one in found)} files; run snakemake to make them again\n")
    return 0


def outdated(config: Mapping[str, Any], what: str) -> Iterator[Outdated]:
    """Folders of the store made with other settings than ``config``'s, each once.

    Raises InputError for a folder that a cohort names as its own features, or that lies outside the store.
    """
    run = Run(config)
    checks = StoredChecks(run, CohortInputs(run), SlideInputs(run), PredictionInputs(run))
    given = {Path(path).resolve() for entry in config["cohorts"].values() for path in entry["features"].values()}
    for folder, why in checks.outdated_slides().items():
        kind = "masks" if PatchPlan.fits(folder / PLAN) else "features"
        if not FeaturePlan.fits(folder / PLAN) and not PatchPlan.fits(folder / PLAN):
            continue
        if what == "masks" or kind == "features":
            _require_ours(folder, Path(config["store"]), given)
            yield _look(folder, kind, why)


def _require_ours(folder: Path, store: Path, given: set[Path]) -> None:
    place = folder.resolve()
    if not place.is_relative_to(store.resolve()):
        message = f"{folder}: lies outside the store {store} (a link?): delete it by hand if you mean to"
        raise InputError(message)
    if place in given:
        message = f"{folder}: a cohort names it as features of its own; it is not deleted: copy them elsewhere first"
        raise InputError(message)


def _look(folder: Path, kind: str, why: str) -> Outdated:
    ours = {path for pattern in OURS[kind] for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()}
    everything = sum(path.is_file() or path.is_symlink() for path in folder.rglob("*"))
    return Outdated(folder, sorted(ours), everything - len(ours), why)


def _delete(one: Outdated) -> None:
    """The record goes last: an interrupted clean is one that can be called again."""
    for path in sorted(one.files, key=lambda path: path.name == PLAN):
        path.unlink(missing_ok=True)
    for folder in (*filter(Path.is_dir, one.folder.iterdir()), one.folder):
        if not any(folder.iterdir()):
            folder.rmdir()
