"""What a path of the contract is: formatted and parsed from one template.

A kind of file is a frozen dataclass: its fields are what the path says, ``format()`` writes the path, ``parse()``
reads the fields back from any path that ends so, and ``pattern()`` leaves Snakemake's wildcards where nothing is known.
"""

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from string import Formatter
from typing import Any, ClassVar, Self

from mirrorflow.errors import InputError

FIELDS = {
    "genes": r"(?:few-shot-|inner\d+-)?",
    "inner": r"(?:inner\d+-)?",
    "variant": r"(?:[^/]+/)?",
    "name": r"[^/.]+",
    "job": r".+",
    "task": r"[^/.]+",
    "ending": r"[^/.]+",
}
"""What a field may be, where it is neither a number nor simply the name of a folder or file."""

FEW_SHOT = "few-shot-"
"""What the names of files begin with that serve the k-shot settings alone."""


def inner_number(prefix: str) -> int | None:
    """Number of the inner fold that ``inner<j>-`` stands for; None for any other prefix."""
    found = re.fullmatch(r"inner(\d+)-", prefix)
    return int(found[1]) if found else None


@dataclass(frozen=True, order=True)
class ContractPath:
    """One path. ``root``: the folder of the run's results, or the store; empty where the path begins below it."""

    root: str

    TEMPLATE: ClassVar[str] = ""
    """The path below ``root``, with a replacement field a fact."""
    UNDER: ClassVar[str] = "results"
    """``results`` or ``store``: which of the two ``root`` is."""
    types: ClassVar[dict[str, Any]]
    """Fields and their types."""
    expression: ClassVar[re.Pattern[str]]
    """What a path of this kind matches, with a group a field."""

    def __init_subclass__(cls) -> None:
        hints = typing.get_type_hints(cls)
        cls.types = {name: of for name, of in hints.items() if of in (str, int)}
        parts = [r"(?:(?P<root>.*)/)?"]
        for text, name, _, _ in Formatter().parse(cls.TEMPLATE):
            parts.append(re.escape(text))
            if name:
                allowed = r"\d+" if cls.types[name] is int else FIELDS.get(name, "[^/]+")
                parts.append(f"(?P<{name}>{allowed})")
        cls.expression = re.compile("".join(parts))

    def format(self) -> str:
        """The path."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tail = self.TEMPLATE.format(**values)
        return f"{self.root}/{tail}" if self.root else tail

    @property
    def path(self) -> Path:
        """The path, as a Path."""
        return Path(self.format())

    @property
    def folder(self) -> Path:
        """The folder that the file lies in."""
        return self.path.parent

    @classmethod
    def pattern(cls, root: str, **known: object) -> str:
        """The path with Snakemake's wildcards for everything that is not ``known``."""
        return f"{root}/{cls._below(known, '{{{}}}')}"

    @classmethod
    def folders(cls, root: str, **known: object) -> list[Path]:
        """Folders that are there for files of this kind; what is not ``known`` may be anything, ``*`` a part of it."""
        return sorted(Path(root or ".").glob(str(Path(cls._below(known, "*")).parent)))

    @classmethod
    def _below(cls, known: Mapping[str, object], unknown: str) -> str:
        """The path below its root; ``unknown`` stands for what is not ``known``, with ``{}`` for its name."""
        names = [name for _, name, _, _ in Formatter().parse(cls.TEMPLATE) if name]
        return cls.TEMPLATE.format(**{name: known.get(name, unknown.format(name)) for name in names})

    @classmethod
    def parse(cls, path: str | Path) -> Self:
        """What a path says, whatever folder it lies in. Raises InputError where it is no path of this kind."""
        found = cls.expression.fullmatch(str(path))
        if found is None:
            message = f"{path}: no {cls.__name__}; its path should end with {cls.TEMPLATE}"
            raise InputError(message)
        return cls(**{name: cls.types[name](value or "") for name, value in found.groupdict().items()})

    @classmethod
    def moved(cls, path: str | Path, root: str) -> str:
        """The same path below another root: where a file lies now that was noted before its run was renamed."""
        return replace(cls.parse(path), root=root).format()

    @classmethod
    def fits(cls, path: str | Path) -> bool:
        """Whether a path is of this kind."""
        return cls.expression.fullmatch(str(path)) is not None
