"""Rule make_training_folds: the table of survival probes on the units that they were fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.results import published_key
from mirrorflow.tables.training_folds import CAPTION, NAMED, NUMBERS, shown, training_folds_table


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
    make_training_folds(sheets, published, names, outputs.csv.with_suffix(""))


def make_training_folds(sheets: Sequence[Mapping[str, Any]], published: Path, names: Path, stem: Path) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` from ``sheets`` (protocol, cohort, encoder, method, path).

    Raises InputError where the run has no pretrained method with a survival probe.
    """
    if not sheets:
        message = "no pretrained method of this run has the task survival: nothing to score on training folds"
        raise InputError(message)
    parts = [
        read_numbers(Path(sheet["path"]), NUMBERS).assign(**{key: sheet[key] for key in NAMED}) for sheet in sheets
    ]
    scored = [part for part in parts if len(part)]  # withheld, or without an outcome: no row
    labels = read_text_sheet(names)
    table = training_folds_table(
        pd.concat(scored, ignore_index=True) if scored else parts[0],
        read_numbers(published, ["mean", "sd"]),
        cohorts=published_key(labels, "cohort"),
        encoders=published_key(labels, "encoder"),
    )
    titles = {kind: published_key(labels, kind, "title") for kind in ("cohort", "encoder", "method")}
    write_table(stem, table, CAPTION, shown(table, titles))
