"""What rules ask with: Snakemake's wildcards, or anything with the same attributes."""

import re
from collections.abc import Callable, Iterable
from typing import Protocol

NAME = "[a-z0-9._-]+"
"""Wildcard constraint of presets, encoders and sources."""


class Wildcards(Protocol):
    """A rule's wildcards: those that its output has are attributes, as text."""

    def __getattr__(self, name: str) -> str: ...


def has(wildcards: Wildcards, name: str) -> bool:
    """Whether a rule has a wildcard."""
    return hasattr(wildcards, name)


def any_of(names: Iterable[str]) -> str:
    """A regular expression for exactly these names (never the empty one)."""
    return "|".join(map(re.escape, names)) or "no-such-name"


def growing(base: int) -> Callable[[Wildcards, int], int]:
    """A resource of ``base`` that grows with each attempt of a job: a job killed for memory or time gets more."""

    def resource(wildcards: Wildcards, attempt: int) -> int:
        return base * attempt

    return resource


def ancient(path: str) -> str:
    """Snakemake's mark of a file whose date does not count."""
    from snakemake.io import ancient as marked

    return marked(path)
