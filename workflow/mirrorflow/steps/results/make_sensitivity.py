"""Rule make_sensitivity: the table of s1 and s2 of every pretrained model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.cases import Inputs, Outputs, Params, read_cases, sheets_of
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.results import published_key, titles_of
from mirrorflow.tables.sensitivity import CAPTION, METRICS, sensitivity_table, shown


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table of all cases."""
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_sensitivity(sheets_of(inputs, params), published, names, outputs.stem)


def make_sensitivity(
    sheets: Sequence[Mapping[str, Any]],
    published: Path,
    names: Path,
    stem: Path,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` from ``sheets`` (protocol, cohort, encoder, method, path)."""
    labels = read_text_sheet(names)
    table = sensitivity_table(
        pd.concat(read_cases(sheets, ["seed", "fold", *METRICS]), ignore_index=True),
        read_numbers(published, ["mean", "sd"]),
        cohorts=published_key(labels, "cohort"),
    )
    write_table(stem, table, CAPTION, shown(table, titles_of(labels, "cohort", "encoder", "method")))
