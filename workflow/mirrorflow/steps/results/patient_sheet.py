"""Every patient's predictions as one sheet: prediction, outcome, group of risk, fold, and a picture of the slide."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.figures.kaplan_meier import split_by_risk
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.steps.results.figure_tasks import ALL_DATA
from mirrorflow.store.method_predictions import Manifest, read_manifest, read_task
from mirrorflow.store.predictions import Predictions
from mirrorflow.store.tables import read_cohort

PLACE = ["protocol", "encoder", "method"]
CLASSIFIED = ["label", "predicted", "probability"]
FOLLOWED = ["time_days", "event", "risk", "risk_group"]
COLUMNS = [*PLACE, "fold", "patient", *CLASSIFIED, *FOLLOWED, "thumbnail"]


def patient_sheet(
    manifests: Sequence[Path], cohort: Path, shown: Collection[str], ledgers: Sequence[Path]
) -> pd.DataFrame:
    """A row a protocol, encoder, method, fold and patient; all training data, seeds and slides averaged.

    Empty cells: the method answers no such task, or the cohort does not know. risk: higher is earlier, comparable
    within a fold alone; risk_group as the survival curves have it: above the fold's median or not, in the first fold
    that evaluates the patient. thumbnail: of the patient's first slide that has one in the store.
    """
    people = read_cohort(cohort)[0]
    pictures, rows = thumbnails(people, ledgers), []
    for path in manifests:
        place = PredictionsManifest.parse(path)
        if place.protocol in shown:
            named = {name: getattr(place, name) for name in PLACE}
            found = _of_method(read_manifest(path), people).to_dict("records")
            rows += [{**named, **row, "thumbnail": pictures.get(str(row["patient"]), "")} for row in found]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(event=table["event"].astype("Int64"))


def _of_method(manifest: Manifest, people: pd.DataFrame) -> pd.DataFrame:
    """Both tasks side by side, by fold and patient."""
    key = ["fold", "patient"]
    tasks = [_classes(manifest, people), _risks(manifest, people)]
    whole = tasks[0].merge(tasks[1], on=key, how="outer").sort_values(key, kind="stable")
    return whole.reset_index(drop=True)


def _classes(manifest: Manifest, people: pd.DataFrame) -> pd.DataFrame:
    parts = read_task(manifest, "subtyping", people)
    rows = _all_data(parts)
    if rows is None:
        return pd.DataFrame(columns=["fold", "patient", *CLASSIFIED])
    columns = parts[0].probability_columns
    means = rows.groupby(["fold", "patient"], sort=True).agg({"label": "first", **dict.fromkeys(columns, "mean")})
    values = means[columns].to_numpy(float)
    names = np.array([name.removeprefix("prob_") for name in columns])
    probability = _rounded(values.max(1))
    found = means[["label"]].assign(predicted=names[values.argmax(1)], probability=probability)
    return found.reset_index()


def _risks(manifest: Manifest, people: pd.DataFrame) -> pd.DataFrame:
    rows = _all_data(read_task(manifest, "survival", people))
    if rows is None:
        return pd.DataFrame(columns=["fold", "patient", *FOLLOWED])
    found = rows.groupby(["fold", "patient"], sort=True).agg(
        time_days=("time_days", "first"), event=("event", "first"), risk=("risk", "mean")
    )
    groups = split_by_risk(rows)[["fold", "patient", "group"]].rename(columns={"group": "risk_group"})
    found = found.assign(risk=_rounded(found["risk"].to_numpy(float)), event=found["event"].astype(int))
    return found.reset_index().merge(groups, on=["fold", "patient"], how="left")


def _all_data(parts: Sequence[Predictions]) -> pd.DataFrame | None:
    rows = [one.rows for one in parts]
    whole = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"setting": []})
    mine = whole[whole["setting"] == ALL_DATA]
    return mine if len(mine) else None


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def thumbnails(people: pd.DataFrame, ledgers: Sequence[Path]) -> dict[str, str]:
    """Patient -> path of the picture that the store keeps of the first slide that has one."""
    there = dict(_pictures(ledgers))
    found: dict[str, str] = {}
    for patient, slides in zip(people["patient"], people["slide_ids"], strict=True):
        first = next((there[slide] for slide in slides if slide in there), None)
        found |= {} if first is None else {str(patient): first}
    return found


def _pictures(ledgers: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for ledger in ledgers:
        yield from ((path.stem, path.as_posix()) for path in sorted((ledger.parent / "overlays").glob("*.jpg")))
