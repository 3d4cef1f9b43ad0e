"""Keys of a config that have new names: the old ones count for one release, with a warning."""

import logging
from collections.abc import Mapping
from typing import Any

from mirrorflow.errors import ConfigError

logger = logging.getLogger("mirrorflow.config")

ALIASES = {"evaluation.optimism.habits": "evaluation.optimism.changes"}
"""Old dotted key -> new one, of the same section; ``*`` stands for a name of the user's own (``methods.*.old``)."""


def with_new_names(raw: Mapping[str, Any], aliases: Mapping[str, str] = ALIASES) -> dict[str, Any]:
    """The config with each old key under its new name (``raw`` unchanged); a warning names both.

    Raises ConfigError where a config names both.
    """
    config = dict(raw)
    for old, new in aliases.items():
        config = _renamed(config, old.split("."), new.rpartition(".")[2], [])
    return config


def _renamed(section: Mapping[str, Any], old: list[str], new: str, place: list[str]) -> dict[str, Any]:
    """A section with the key at the end of ``old`` renamed, wherever its path leads."""
    first, *rest = old
    if rest:
        keys = list(section) if first == "*" else [key for key in section if key == first]
        below = {key: section[key] for key in keys if isinstance(section[key], Mapping)}
        return {**section, **{key: _renamed(one, rest, new, [*place, str(key)]) for key, one in below.items()}}
    if first not in section:
        return dict(section)
    was, is_now = ".".join([*place, first]), ".".join([*place, new])
    if new in section:
        message = f"{was} is the old name of {is_now}; the config names both: keep {new}"
        raise ConfigError(message)
    logger.warning("%s has a new name: %s; the old one counts for this release alone", was, is_now)
    return {new if key == first else key: value for key, value in section.items()}
