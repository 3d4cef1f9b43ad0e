"""Preflight's look at slides: opened, scaled, probed at every level, and about how many patches they hold."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.plan.store_paths import delete_hint, made_from_slides
from mirrorflow.runtime.progress import Progress
from mirrorflow.slides.grid import place_patches
from mirrorflow.slides.mask import segment
from mirrorflow.slides.reader import Slide, best_level, open_slide, source_bytes
from mirrorflow.slides.scale import check_resolution, find_scale, trident_mpp
from mirrorflow.slides.sources import RegionError
from mirrorflow.slides.view import read_view
from mirrorflow.steps.slides.crash_guard import CrashGuard
from mirrorflow.steps.slides.patch_settings import PatchSettings, SlidePaths
from mirrorflow.steps.slides.patch_slides import MAX_UNKNOWN
from mirrorflow.steps.slides.read_alone import view_task
from mirrorflow.store.digest import require_same_settings
from mirrorflow.store.patches import read_patches
from mirrorflow.store.slide_sheet import SlideRow

PROBE_SIDE = 256
PROBES = (0.5, 0.3, 0.7)
"""Where on a level tiles are decoded, as fractions of its width and height."""

VIEW_MPP = 32.0
"""Scale at which tissue is estimated, um/px: a quarter of the real view's detail, a sixteenth of its work."""

MAX_VIEW_PIXELS = 256 * 2**20
"""Where a slide has no coarse level, its patches are not estimated by reading all of it."""


class Finding(NamedTuple):
    """Something that does not fit. ``stops``: the run would fail, not only a slide of it."""

    subject: str
    file: str
    what: str
    stops: bool = False


@dataclass(frozen=True)
class SlideCheck:
    """What preflight saw of one slide; ``patches`` by preset, None where it could not be told."""

    row: SlideRow
    findings: tuple[Finding, ...] = ()
    bytes: int = 0
    mpp_source: str = ""
    patches: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether it was opened and has a scale."""
        return bool(self.mpp_source)


def per_folder(findings: Sequence[Finding]) -> list[Finding]:
    """Files of one folder that stop the run for the same reason, as one finding that names the first of them."""
    groups: dict[tuple[Path, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((Path(finding.file).parent, finding.what.replace(finding.file, "")), []).append(finding)
    return [
        first._replace(subject=f"{len(group)} files in {folder}") if len(group) > 1 else first
        for (folder, _), group in groups.items()
        for first in group[:1]
    ]


def look_at_slides(
    rows: Sequence[SlideRow], presets: Mapping[str, PatchSettings], folder: Path, workers: int
) -> list[SlideCheck]:
    """A look at every slide, side by side; ``folder`` is the cohort's ``<store>/slides/<cohort>``."""
    progress = Progress("preflight", len(rows), "slides")
    looks = []
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for look in pool.map(lambda row: look_at_slide(row, presets, folder), rows):
            looks.append(look)
            progress.step(note=look.row.slide_id)
    return looks


def look_at_slide(row: SlideRow, presets: Mapping[str, PatchSettings], folder: Path) -> SlideCheck:
    """Open a slide, find its scale, decode tiles of each level, estimate its patches.

    Whatever goes wrong becomes a finding, and a slide that kills this process is found at the next attempt.
    """
    look = SlideCheck(row, bytes=(row.path and source_bytes(row.path)) or 0)
    stored = [_stored_problem(row, settings, folder / name) for name, settings in presets.items()]
    guard = CrashGuard(folder)
    try:
        fault = guard.fault(row, view_task(row.path, row.mpp, VIEW_MPP))
        if row.path is None or fault:
            problem = fault or "no path in the sheet of slides; add it to the column path"
            look = replace(look, findings=(_finding(row, problem),))
        else:
            with guard.reading(row.slide_id), open_slide(row.path) as slide:
                look = _opened(look, slide, presets, folder)
    except (MirrorflowError, RegionError) as error:
        look = replace(look, findings=(_finding(row, str(error)),))
    except Exception as error:  # whatever a broken file makes of a library
        look = replace(look, findings=(_finding(row, f"{type(error).__name__}: {error}"),))
    return replace(look, findings=(*look.findings, *filter(None, stored)))


def _opened(look: SlideCheck, slide: Slide, presets: Mapping[str, PatchSettings], folder: Path) -> SlideCheck:
    row = look.row
    scale = find_scale(slide.properties, row.mpp)
    findings = [_finding(row, problem) for problem in filter(None, [scale.note, *_undecodable(slide)])]
    patches: dict[str, int | None] = {}
    for name, settings in presets.items():
        mpp = trident_mpp(scale.mpp) if settings.scale == "trident" else scale.mpp
        try:
            check_resolution(mpp, settings.patch.mpp)
        except InputError as error:
            findings.append(_finding(row, f"{name}: {error}"))
            patches[name] = 0
            continue
        patches[name] = _counted(row, folder / name)
        if patches[name] is None:
            patches[name], problem = _estimated(slide, mpp, settings, row)
            if patches[name] == 0 and not problem:
                problem = (
                    f"{name}: no tissue seen at a glance; look at the slide, and at segmentation.* columns of its sheet"
                )
            findings += [_finding(row, problem)] if problem else []
    return replace(look, findings=tuple(findings), mpp_source=scale.source, patches=patches)


def _undecodable(slide: Slide) -> Iterable[str]:
    """One line a level of which tiles cannot be decoded."""
    for index, level in enumerate(slide.levels):
        bad = []
        side = min(PROBE_SIDE, level.width, level.height)
        for fraction in PROBES:
            x = min(int(level.width * fraction), level.width - side)
            y = min(int(level.height * fraction), level.height - side)
            try:
                slide.read(index, x, y, side, side)
            except RegionError as error:
                bad.append(f"{x}, {y} ({error})")
        if bad:
            yield (
                f"level {index}: {len(bad)} of {len(PROBES)} probes cannot be decoded, first at {bad[0]}; "
                "fetch the file again, or accept that patches are left out (features.max_unreadable)"
            )


def _counted(row: SlideRow, folder: Path) -> int | None:
    """Patches of an earlier run."""
    try:
        return len(read_patches(SlidePaths.of(folder, row.slide_id).patches).coords)
    except InputError:
        return None


def _estimated(slide: Slide, mpp: float, settings: PatchSettings, row: SlideRow) -> tuple[int | None, str]:
    """About how many patches, from a coarse view; and what is odd about the slide."""
    downsample = max(1.0, max(VIEW_MPP, settings.of(row).mpp) / mpp)
    level = slide.levels[best_level(slide.levels, downsample)]
    if level.width * level.height > MAX_VIEW_PIXELS:
        return None, ""
    view = read_view(slide, downsample)
    if view.unknown.mean() > MAX_UNKNOWN:
        return (
            0,
            f"{view.unknown.mean():.0%} of the slide cannot be read; the file is damaged or cut off, fetch it again",
        )
    mask = segment(view.rgb, mpp * view.scale_x, settings.of(row)) | view.unknown
    patch = settings.patch
    size = patch.size_px * patch.mpp / mpp
    step = (patch.size_px - patch.overlap_px) * patch.mpp / mpp
    return len(place_patches(mask, (slide.width, slide.height), size, step, patch.min_tissue)), ""


def _stored_problem(row: SlideRow, settings: PatchSettings, folder: Path) -> Finding | None:
    """Patches in the store that were made with other settings stop the run."""
    path = SlidePaths.of(folder, row.slide_id).patches
    try:
        stored = read_patches(path)
        noted = settings.noted(row, stored.facts)
        require_same_settings(str(path), stored.settings or "{}", noted, delete_hint(made_from_slides(folder)))
    except (InputError, ConfigError):
        return None
    except MirrorflowError as error:
        return Finding(row.slide_id, str(path), str(error), stops=True)
    return None


def _finding(row: SlideRow, what: str) -> Finding:
    return Finding(row.slide_id, str(row.path or ""), what)
