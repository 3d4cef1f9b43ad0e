"""Rule make_sensitivity: the table of s1 and s2 of every pretrained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.results import published_key
from mirrorflow.tables.sensitivity import CAPTION, METRICS, sensitivity_table, shown


@dataclass(frozen=True)
class Inputs:
    """A sheet a case."""

    sheets: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """Protocol, cohort, encoder and method of each sheet."""

    cases: list[Mapping[str, str]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table of all cases."""
    sheets = [{**case, "path": path} for case, path in zip(params.cases, inputs.sheets, strict=True)]
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_sensitivity(sheets, published, names, outputs.csv.with_suffix(""))


def make_sensitivity(
    sheets: Sequence[Mapping[str, Any]],
    published: Path,
    names: Path,
    stem: Path,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` from ``sheets`` (protocol, cohort, encoder, method, path)."""
    parts = []
    for sheet in sheets:
        values = read_numbers(Path(sheet["path"]), ["seed", "fold", *METRICS])
        parts.append(values.assign(**{key: sheet[key] for key in ("protocol", "cohort", "encoder", "method")}))
    labels = read_text_sheet(names)
    table = sensitivity_table(
        pd.concat(parts, ignore_index=True),
        read_numbers(published, ["mean", "sd"]),
        cohorts=published_key(labels, "cohort"),
    )
    titles = {kind: published_key(labels, kind, "title") for kind in ("cohort", "encoder", "method")}
    write_table(stem, table, CAPTION, shown(table, titles))
