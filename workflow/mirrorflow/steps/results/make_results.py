"""Rule make_results: the long table, ours beside the published values. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.runtime.job import Job
from mirrorflow.store.tables import read_numbers, read_text_sheet, write_sheet
from mirrorflow.tables.compared import disease_specific
from mirrorflow.tables.comparison import why_not_comparable
from mirrorflow.tables.results import COLUMNS, NUMBERS, beside_published


@dataclass(frozen=True)
class Inputs:
    """Metrics of every protocol and cohort."""

    metrics: list[Path]


@dataclass(frozen=True)
class Outputs:
    """results.csv."""

    results: Path


@dataclass(frozen=True)
class Params:
    """What comparisons need of the config (:func:`mirrorflow.tables.compared.settings_compared`)."""

    config: Mapping[str, Any]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the long table."""
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_results(inputs.metrics, published, names, outputs.results, params.config)


def make_results(
    metrics: Sequence[Path], published: Path, names: Path, destination: Path, config: Mapping[str, Any]
) -> None:
    """Join the scores of all protocols and cohorts with the published values.

    config: what comparisons need of it (:func:`mirrorflow.tables.compared.settings_compared`).
    """
    sheets = [read_numbers(path, NUMBERS) for path in metrics]
    whole = [sheet for sheet in sheets if len(sheet)]
    if not whole:  # every protocol's numbers are withheld
        write_sheet(destination, pd.DataFrame(columns=COLUMNS))
        return
    cells = pd.concat(whole, ignore_index=True)
    why_not = partial(why_not_comparable, config)
    known, labels = read_numbers(published, ["mean", "sd"]), read_text_sheet(names)
    table = beside_published(cells, known, labels, why_not, disease_specific(config))
    write_sheet(destination, table[COLUMNS])
