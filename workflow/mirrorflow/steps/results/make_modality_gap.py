"""Rule make_modality_gap: distances between slide and RNA vectors of all pretrained methods. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.plan.modalities import MapsFolder
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.tables.modality_gap import CAPTION, COLUMNS, shown
from mirrorflow.tables.results import titles_of


@dataclass(frozen=True)
class Inputs:
    """Folders of rule map_embeddings."""

    maps: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """Titles of the cohorts."""

    titles: Mapping[str, str]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table."""
    titles = titles_of(read_text_sheet(RESOURCES / "names.tsv"), "cohort", "method")
    titles["cohort"] = {**titles["cohort"], **params.titles}
    table = together(inputs.maps)
    write_table(outputs.csv.with_suffix(""), table, CAPTION, shown(table, titles))


def together(folders: Sequence[Path]) -> pd.DataFrame:
    """Distances of all folders, each with its protocol, cohort and encoder."""
    parts = []
    for place in map(MapsFolder.parse, folders):
        named = {name: getattr(place, name) for name in COLUMNS[:3]}
        rows = pd.read_csv(Path(place.format()) / "distances.csv", dtype={"fold": str}).fillna({"fold": ""})
        parts.append(rows.assign(**named))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)
