"""What is known of a setting of a published cell: its value and source, a count, or that it is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A setting of a published cell."""

    value: Any
    source: str
    where: str = ""
    """Tags (:class:`Place`) that a cell must have for the setting to concern it."""
    also: tuple[Any, ...] = ()
    """Values that compute the same."""
    said_by: str = "paper"
    """What a difference calls the one whose value it is."""

    @property
    def doubt(self) -> str:
        """What is said behind the value where it is inferred: other readings are possible."""
        return ", inferred" if self.source.startswith("inferred") else ""

    def holds(self, value: Any) -> bool:
        """Whether a setting of ours is the published one."""
        return value == self.value or value in self.also


@dataclass(frozen=True)
class Count(Known):
    """A number of which ours is known between bounds."""

    def holds(self, value: Any) -> bool:
        """Whether the published number is in a range of ours."""
        return self.value in value


@dataclass(frozen=True)
class Unknown:
    """A setting that is not known; ``named``: it stands as a difference, since it decides the numbers."""

    why: str
    where: str = ""
    named: bool = False


Setting = Known | Unknown
Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Place:
    """Where a cell stands: what decides which published settings it is compared with."""

    cohort: str
    """The cohort, of an adapted one the target."""
    encoder: str
    method: str
    metric: str
    tags: frozenset[str]
    """The task, the method's family and inputs (slides, rna), and: few-shot, labels (the cell's numbers follow from
    subtype labels), features (made here), selected, rfe, curated (its genes), pathways, pretrained, epochs, adapted,
    dss (the outcome is disease-specific survival).
    """
