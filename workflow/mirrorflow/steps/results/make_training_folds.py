"""Rule make_training_folds: the table of survival probes on the units that they were fitted on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.cases import Inputs, Outputs, Params, read_cases, sheets_of
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.results import published_key, titles_of
from mirrorflow.tables.training_folds import CAPTION, NUMBERS, shown, training_folds_table


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table of all cases."""
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_training_folds(sheets_of(inputs, params), published, names, outputs.stem)


def make_training_folds(sheets: Sequence[Mapping[str, Any]], published: Path, names: Path, stem: Path) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` from ``sheets`` (protocol, cohort, encoder, method, path).

    Raises InputError where the run has no pretrained method with a survival probe.
    """
    if not sheets:
        message = "no pretrained method of this run has the task survival: nothing to score on training folds"
        raise InputError(message)
    parts = read_cases(sheets, NUMBERS)
    scored = [part for part in parts if len(part)]  # withheld, or without an outcome: no row
    labels = read_text_sheet(names)
    table = training_folds_table(
        pd.concat(scored, ignore_index=True) if scored else parts[0],
        read_numbers(published, ["mean", "sd"]),
        cohorts=published_key(labels, "cohort"),
        encoders=published_key(labels, "encoder"),
    )
    write_table(stem, table, CAPTION, shown(table, titles_of(labels, "cohort", "encoder", "method")))
