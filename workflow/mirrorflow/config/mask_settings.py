"""How tissue is told from glass, from a run's settings and those of one slide; free of image libraries."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mirrorflow.config.slide_settings import MASK_PRESETS, Segmentation
from mirrorflow.errors import ConfigError

__all__ = ["KEYS", "Segmentation", "segmentation_from"]

KEYS = {field.name for field in fields(Segmentation)}


def segmentation_from(settings: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Segmentation:
    """Settings of a run (``preset`` and keys of Segmentation), changed by those of one slide.

    Raises ConfigError naming an unknown preset or key and what is allowed.
    """
    values = dict(settings) | dict(overrides or {})
    preset = values.pop("preset", "default")
    if preset not in MASK_PRESETS:
        message = f"segmentation.preset {preset!r} is unknown; choose one of {', '.join(MASK_PRESETS)}"
        raise ConfigError(message)
    if unknown := sorted(values.keys() - KEYS):
        message = f"segmentation: unknown {', '.join(unknown)}; allowed are preset, {', '.join(sorted(KEYS))}"
        raise ConfigError(message)
    return Segmentation(**(MASK_PRESETS[preset] | values))
