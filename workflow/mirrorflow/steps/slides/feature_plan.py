"""Which slides of a shard still need features, and what their files will carry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.config import versions
from mirrorflow.errors import InputError
from mirrorflow.plan.store_paths import PLAN, FeaturePlan, delete_hint
from mirrorflow.store.digest import digest, require_same_settings
from mirrorflow.store.features import describe_features, stored_settings
from mirrorflow.store.patches import Patches, read_patches
from mirrorflow.store.slide_sheet import SlideRow

Row = dict[str, Any]
NO_PATCHES = "no patches were made of it; its row in the ledger says why"
MADE_AGAIN = "`--forcerun patch_slides` makes it again, where the slide is"


@dataclass(frozen=True)
class Plan:
    """One slide to encode: ``n`` patches of the file ``patches`` into the file ``features``."""

    row: SlideRow
    patches: Path
    features: Path
    n: int
    settings: dict[str, Any]
    source: str

    def coords(self) -> Patches:
        """The patches, read when their turn comes."""
        return read_patches(self.patches)


def plan_slide(
    row: SlideRow,
    patches_folder: Path,
    features_folder: Path,
    encoder: Mapping[str, Any],
    *,
    max_unreadable: float,
) -> Plan | Row:
    """A Plan for a slide that needs work, or the status row of one that does not.

    Features go where their slide is there and no patches were made of it. Patches that are damaged say nothing against
    them. Raises SettingsMismatchError where they were made with other settings, UnreachableError where patches are
    there and something outside of them keeps them from being read.
    """
    source_file, target = (folder / f"{row.slide_id}.h5" for folder in (patches_folder, features_folder))
    failed: Row = {"slide_id": row.slide_id, "status": "failed", "reason": NO_PATCHES, "patches": 0}
    if not source_file.exists():
        if row.path is not None and row.path.exists():
            target.unlink(missing_ok=True)
        return failed
    try:
        patches = read_patches(source_file)
    except InputError:
        return failed | {"reason": f"{source_file} is damaged; features made of it stay. {MADE_AGAIN}"}
    made_of = json.loads(patches.settings or "{}")
    settings = {"encoder": dict(encoder), "patches": made_of, "version": versions.FEATURES}
    source = _source(patches)
    if kept := _kept(row, target, settings, source, max_unreadable):
        return kept
    return Plan(row, source_file, target, len(patches.coords), settings, source)


def _source(patches: Patches) -> str:
    """Stands for the patches themselves: if their slide was replaced, features are made again."""
    corners = digest({"coords": patches.coords.tobytes().hex()})
    slide = (str(patches.facts.get("source_bytes", 0)), patches.facts.get("source_digest", ""))
    return "-".join([corners, *filter(None, slide)])


def _kept(row: SlideRow, target: Path, settings: Mapping[str, Any], source: str, max_unreadable: float) -> Row | None:
    if not target.exists():
        return None
    try:
        describe_features(target)
        stored, facts = stored_settings(target)
    except InputError:
        return None
    require_same_settings(str(target), stored or "{}", settings, delete_hint(_outdated(target, stored, settings)))
    planned = facts.get("patches", 0) + facts.get("unreadable", 0)
    if facts.get("source") != source or facts.get("unreadable", 0) > max_unreadable * max(planned, 1):
        return None
    return facts | {"slide_id": row.slide_id}


def _outdated(target: Path, stored: str, settings: Mapping[str, Any]) -> list[Path]:
    """Folders of features to delete: of all encoders that saw these patches where the patches are others."""
    folder, others = target.parent, json.loads(stored or "{}").get("patches") != settings["patches"]
    if not others or not FeaturePlan.fits(folder / PLAN):
        return [folder]
    place = FeaturePlan.parse(folder / PLAN)
    return FeaturePlan.folders(place.root, cohort=place.cohort, patching=place.patching)
