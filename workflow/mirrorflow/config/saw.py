"""Which public collections an encoder was trained on: as a config says, or as config/encoders.yaml does by its name.

Free of pandas, as the config is.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mirrorflow.config.encoder_table import encoder_table

COLLECTIONS = ("tcga", "cptac", "gtex")
"""Public collections of slides that encoders are trained on and papers evaluate on."""
NO, UNKNOWN = "no", "unknown"
SEEN = (*COLLECTIONS, NO, UNKNOWN)
"""What may be said of an encoder."""
DECLARED = "features.saw of this run's config"


@dataclass(frozen=True)
class Saw:
    """The collections that an encoder was trained on, or ``no``, or ``unknown``; and who says so."""

    what: tuple[str, ...]
    source: str = ""

    def plain(self) -> dict[str, Any]:
        """As the params of a rule have it."""
        return {"what": list(self.what), "source": self.source}


def saw(config: Mapping[str, Any], encoder: str) -> Saw:
    """What the run's ``encoder`` was trained on: the config's word, then random weights, then the table's.

    The table is asked for the encoder's name and, where its weights come from the hub, for its model's.
    """
    declared = config["features"].get("saw", {}).get(encoder)
    if declared:
        return Saw(tuple(declared), DECLARED)
    entry = config["features"]["encoders"].get(encoder, {})
    weights = entry.get("weights", "")
    if weights == "random" or (not entry and "random" in encoder.split("-")):
        return Saw((NO,), "random weights")
    names = [encoder] if weights in ("", "hub") or not _is_network(encoder) else []
    return known([*names, *([entry["model"]] if weights == "hub" else [])])


def _is_network(encoder: str) -> bool:
    """Whether a name says how an encoder is built, and nothing of its weights."""
    return encoder == "resnet50"


def known(names: Sequence[str]) -> Saw:
    """What the table says of the first of ``names`` that it has; of several patterns the longest counts."""
    for name in map(plain_name, names):
        found = [(pattern, one) for pattern, one in _table().items() if fnmatchcase(name, pattern)]
        if found:
            return max(found, key=lambda pair: len(pair[0]))[1]
    return Saw((UNKNOWN,))


def plain_name(name: str) -> str:
    """``uni`` for ``timm--hf-hub:MahmoodLab/UNI``: the last part, in lower case, with hyphens alone."""
    return re.split(r"[/:]|--", name.lower())[-1].replace("_", "-")


@functools.cache
def _table() -> dict[str, Saw]:
    return {
        pattern: Saw(tuple(entry.saw), entry.pretrained_on)
        for entry in encoder_table().values()
        for pattern in entry.patterns
    }
