"""Variants of methods: what the run sets for a method and not for its variants."""

from collections.abc import Iterator, Mapping
from typing import Any

PARTS = ("train", "network", "pretrain")
"""Sections of a method's entry."""


def variant_lines(methods: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """A warning for each variant that lacks keys of its method's entry; methods: as the run has them, without defaults.

    A variant starts from the method's defaults, not from that entry.
    """
    for name, entry in methods.items():
        base = name.split("--")[0]
        if base == name or base not in methods:
            continue
        theirs, own = _keys(methods[base]), _keys(entry)
        if lacking := [key for key in theirs if key not in own]:
            yield (
                f"WARNING: methods.{name} does not take {', '.join(lacking)} from the run's {base}: it starts from the "
                "method's defaults. Repeat there what both should have (YAML anchors)"
            )


def _keys(entry: Mapping[str, Any] | None) -> list[str]:
    """Keys of an entry's sections, as ``train.epochs``."""
    return [f"{part}.{key}" for part in PARTS for key in (entry or {}).get(part) or {}]
