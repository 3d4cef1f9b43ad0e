"""What decides which patches a slide gives, and where they are kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mirrorflow.config import versions
from mirrorflow.config.fields import schema_of_field
from mirrorflow.config.mask_settings import Segmentation, segmentation_from
from mirrorflow.config.slide_settings import Slides
from mirrorflow.errors import ConfigError
from mirrorflow.slides.grid import Patching, patching_from
from mirrorflow.slides.scale import repeats
from mirrorflow.store.slide_sheet import SlideRow


@dataclass(frozen=True)
class PatchSettings:
    """What decides which patches a slide gives."""

    patch: Patching
    segmentation: Mapping[str, Any]
    scale: str

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "PatchSettings":
        """From the config. Raises ConfigError naming what is wrong."""
        scale = settings.get("scale", Slides.scale)
        allowed = schema_of_field(Slides, "scale")["enum"]
        if scale not in allowed:
            message = f"scale is {scale!r}; allowed are {' and '.join(allowed)}"
            raise ConfigError(message)
        segmentation_from(settings.get("segmentation", {}))
        return cls(patching_from(settings.get("patch", {})), dict(settings.get("segmentation", {})), scale)

    def of(self, row: SlideRow) -> Segmentation:
        """Segmentation of one slide, its overrides applied."""
        return segmentation_from(self.segmentation, row.overrides)

    def noted(self, row: SlideRow, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What a slide's file carries and is compared with; the sheet's mpp where it played a part.

        facts: mpp and mpp_source of the slide's patches. A sheet that repeats the slide's metadata played none.
        """
        return {
            "patch": asdict(self.patch),
            "segmentation": asdict(self.of(row)),
            "scale": self.scale,
            "sheet_mpp": None if _repeats_metadata(row, facts) else row.mpp,
            "version": versions.SEGMENTATION,
        }


def _repeats_metadata(row: SlideRow, facts: Mapping[str, Any]) -> bool:
    if facts.get("mpp_source") != "metadata" or row.mpp is None:
        return False
    return repeats(row.mpp, float(facts.get("mpp", math.nan)))


@dataclass(frozen=True)
class SlidePaths:
    """Where one slide's results lie."""

    patches: Path
    mask: Path
    overlay: Path

    @classmethod
    def of(cls, folder: Path, slide_id: str) -> "SlidePaths":
        """Below ``<store>/slides/<cohort>/<patching>``."""
        return cls(
            folder / "patches" / f"{slide_id}.h5",
            folder / "masks" / f"{slide_id}.png",
            folder / "overlays" / f"{slide_id}.jpg",
        )

    def all_exist(self) -> bool:
        """Whether nothing is missing."""
        return all(path.exists() for path in (self.patches, self.mask, self.overlay))

    def remove(self) -> None:
        """Remove what an earlier run left, so that a slide that fails now has no files."""
        for path in (self.patches, self.mask, self.overlay):
            path.unlink(missing_ok=True)
