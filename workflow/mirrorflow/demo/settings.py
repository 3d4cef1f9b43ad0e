"""What can be set about a simulated cohort, and what is allowed."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mirrorflow.config.cohort_settings import Simulation
from mirrorflow.config.fields import defaults_of
from mirrorflow.errors import ConfigError

SIMULATION_DEFAULTS: dict[str, Any] = defaults_of(Simulation) | {
    "classes": ["alpha", "beta", "gamma"],
    "two_slides_fraction": 0.4,
    "share_40x": 0.35,
    "pen_fraction": 0.1,
    "corrupt": 1,  # truncated slides; each of a patient who has a second, good one
    "empty": 1,  # slides without tissue; each the only slide of its patient
    "prefix": "DEMO",
}
"""Those of a config's section ``simulate``, and what only tests set."""

_LIMITS: dict[str, tuple[float, float]] = {
    "patients": (12, 9000),
    "seed": (0, 2**31),
    "slide_width_um": (600, 20000),
    "slide_height_um": (500, 20000),
    "two_slides_fraction": (0, 1),
    "share_40x": (0, 1),
    "transcripts": (100, 250000),
    "site_count": (1, 200),
    "pen_fraction": (0, 1),
    "corrupt": (0, 100),
    "empty": (0, 100),
}
_FRACTIONS = {"two_slides_fraction", "share_40x", "pen_fraction"}


def complete_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill ``settings`` with the defaults and check them.

    Raises ConfigError for an unknown key or a value out of its range, naming both.
    """
    for key in settings:
        if key not in SIMULATION_DEFAULTS:
            message = f"simulation: unknown setting {key!r}; known are {', '.join(SIMULATION_DEFAULTS)}"
            raise ConfigError(message)
    complete = SIMULATION_DEFAULTS | dict(settings)
    for key, (low, high) in _LIMITS.items():
        _check_number(key, complete[key], low, high)
    _check_names(complete)
    return complete


def _check_number(key: str, value: Any, low: float, high: float) -> None:
    kinds = (int, float) if key in _FRACTIONS or key.endswith("_um") else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a number" if float in kinds else "a whole number"
        message = f"simulation: {key}: {value!r} is not {kind} from {low} to {high}"
        raise ConfigError(message)


def _check_names(settings: Mapping[str, Any]) -> None:
    classes, prefix = settings["classes"], settings["prefix"]
    if len(set(classes)) != len(classes) or not 2 <= len(classes) <= 6:
        message = f"simulation: classes: {classes!r} should be 2 to 6 different names"
        raise ConfigError(message)
    if not re.fullmatch(r"[A-Z0-9]{4}", prefix):
        message = (
            f"simulation: prefix: {prefix!r} should be four capitals or digits: "
            "a patient's barcode has 12 characters, as TCGA's"
        )
        raise ConfigError(message)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random stream of its own for each name: what one part draws moves no other part."""
    return np.random.default_rng([seed, *"/".join(names).encode()])
