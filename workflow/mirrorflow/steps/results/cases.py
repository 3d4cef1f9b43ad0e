"""Tables made of a sheet a case: what the rules of such tables are given, and how the sheets are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.store.tables import read_numbers

NAMED = ("protocol", "cohort", "encoder", "method")
"""What tells one case from another."""


@dataclass(frozen=True)
class Inputs:
    """A sheet a case."""

    sheets: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path

    @property
    def stem(self) -> Path:
        """The table's path without its ending."""
        return self.csv.with_suffix("")


@dataclass(frozen=True)
class Params:
    """Protocol, cohort, encoder and method of each sheet."""

    cases: list[Mapping[str, str]]


def sheets_of(inputs: Inputs, params: Params) -> list[dict[str, Any]]:
    """Each case with the ``path`` of its sheet."""
    return [{**case, "path": path} for case, path in zip(params.cases, inputs.sheets, strict=True)]


def read_cases(sheets: Sequence[Mapping[str, Any]], numbers: Sequence[str]) -> list[pd.DataFrame]:
    """The sheets (protocol, cohort, encoder, method, path), each with its case in columns; ``numbers``: columns of
    numbers.
    """
    return [
        read_numbers(Path(sheet["path"]), list(numbers)).assign(**{key: sheet[key] for key in NAMED})
        for sheet in sheets
    ]
