"""How tissue is told from glass: the settings of the mask; free of image libraries.

All lengths are micrometres and all areas square micrometres on the glass, so that one setting means the same
at any scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mirrorflow.errors import ConfigError


@dataclass(frozen=True)
class Segmentation:
    """How tissue is told from glass. The defaults suit H&E slides of whole sections and biopsies."""

    mpp: float = 8.0
    """Scale of the view, um/px."""
    median_um: float = 40.0
    """Median blur of the saturation: takes out dust and JPEG noise."""
    threshold: float | None = None
    """Saturation (0 to 255) above which a pixel is tissue; None: Otsu's, within the two bounds below."""
    min_threshold: float = 12.0
    """Otsu splits bare glass, too; below this saturation it is noise."""
    max_threshold: float = 40.0
    """Otsu splits a slide full of tissue in two; above this saturation nothing is glass."""
    closing_um: float = 40.0
    """Gaps narrower than this are closed."""
    erosion_um: float = 0.0
    """The rim of this width is taken off."""
    min_tissue_um2: float = 30_000.0
    """Smaller specks are dropped (30,000 um2: a piece of 173 x 173 um)."""
    max_hole_um2: float = 16_384.0
    """Smaller holes are filled (16,384 um2: one patch of 256 px at 20x)."""
    pen: bool = True
    """Keep pen marks (blue, green, red, black ink) out."""
    min_brightness: float = 60.0
    """Pixels whose brightest channel is darker are scanner borders or black ink (with ``pen``)."""
    all_if_empty: bool = False
    """Take the whole slide where nothing is found, as MIRROR's script does."""

    def __post_init__(self) -> None:
        if self.mpp <= 0:
            message = f"segmentation.mpp is {self.mpp!r}; it must be above 0 um/px"
            raise ConfigError(message)
        if self.min_threshold > self.max_threshold:
            message = (
                f"segmentation: min_threshold {self.min_threshold:g} is above max_threshold {self.max_threshold:g}"
            )
            raise ConfigError(message)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # MIRROR's own script, its pixels at 20x written as um and um2. It works at 20x itself; 2 um/px is where
    # its smallest structure (a closing of 5 px) still is one pixel.
    "mirror": {
        "mpp": 2.0,
        "median_um": 3.5,
        "closing_um": 2.5,
        "erosion_um": 5.0,
        "min_tissue_um2": 2048.0,
        "max_hole_um2": 4096.0,
        "pen": False,
        "all_if_empty": True,
    },
}
"""Named starting points: ``segmentation: {preset: mirror}``; further keys change them."""

KEYS = {field.name for field in fields(Segmentation)}


def segmentation_from(settings: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Segmentation:
    """Settings of a run (``preset`` and keys of Segmentation), changed by those of one slide.

    Raises ConfigError naming an unknown preset or key and what is allowed.
    """
    values = dict(settings) | dict(overrides or {})
    preset = values.pop("preset", "default")
    if preset not in PRESETS:
        message = f"segmentation.preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}"
        raise ConfigError(message)
    if unknown := sorted(values.keys() - KEYS):
        message = f"segmentation: unknown {', '.join(unknown)}; allowed are preset, {', '.join(sorted(KEYS))}"
        raise ConfigError(message)
    return Segmentation(**(PRESETS[preset] | values))
