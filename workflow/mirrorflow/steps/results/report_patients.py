"""Patient by patient for the page: predictions of the methods ahead, groups of risk as the curves have them, slides."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.report.cohorts import CohortTables
from mirrorflow.report.patients import PatientTable, predicted_classes
from mirrorflow.store.images import read_rgb
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_numbers

HEIGHT_PX = 84
"""Of a patient's picture: twice what the page shows."""
PICTURE_BYTES = 3_000_000
"""Pictures of all patients together; later patients have none."""


def read_patients(
    cohorts: Mapping[str, CohortTables],
    chosen: Mapping[str, Sequence[str]],
    protocol: str,
    manifests: Sequence[Path],
    figures: Sequence[Path],
    overlays: Mapping[str, Mapping[str, Path]],
) -> dict[str, PatientTable]:
    """Cohort -> its patients. chosen: cohort -> ``<encoder>_<method>``; figures: folders of draw_figures, whose CSVs
    have the groups of risk; overlays: cohort -> slide -> its picture in the store.
    """
    left, tables = PICTURE_BYTES, {}
    for cohort, names in chosen.items():
        if cohort not in cohorts:
            continue
        frame = cohorts[cohort].frame
        pictures = _pictures(frame, overlays.get(cohort, {}), left)
        left -= sum(map(len, pictures.values()))
        mine = [one for one in manifests if _is(one, protocol, cohort, names)]
        predicted = _predicted(cohorts[cohort], mine)
        groups = _groups([one for one in figures if one.name == cohort], mine)
        tables[cohort] = PatientTable(protocol, frame, predicted, groups, pictures)
    return tables


def files_of(
    chosen: Mapping[str, Sequence[str]], protocol: str, manifests: Sequence[Path], figures: Sequence[Path]
) -> list[Path]:
    """What these tables are made from: a manifest a method, the groups of risk of each."""
    found = []
    for cohort, names in chosen.items():
        found += [one for one in manifests if _is(one, protocol, cohort, names)]
        folders = [one for one in figures if one.name == cohort]
        found += [folder / "patients.csv" for folder in folders]
        found += [folder / f"survival_{protocol}_{name}.csv" for folder in folders for name in names]
    return found


def _is(manifest: Path, protocol: str, cohort: str, names: Sequence[str]) -> bool:
    place = PredictionsManifest.parse(manifest)
    return (place.protocol, place.cohort) == (protocol, cohort) and f"{place.encoder}_{place.method}" in names


def _predicted(cohort: CohortTables, manifests: Sequence[Path]) -> dict[str, pd.DataFrame]:
    found = {}
    for path in manifests:
        folds = read_task(read_manifest(path), "subtyping", cohort.frame)
        if folds:
            rows = pd.concat([one.rows for one in folds], ignore_index=True)
            place = PredictionsManifest.parse(path)
            found[_name(place.encoder, place.method)] = predicted_classes(rows, folds[0].notes["classes"])
    return found


def _groups(folders: Sequence[Path], manifests: Sequence[Path]) -> dict[str, pd.DataFrame]:
    found = {}
    for folder in folders:
        for place in map(PredictionsManifest.parse, manifests):
            path = folder / f"survival_{place.protocol}_{place.encoder}_{place.method}.csv"
            if path.exists():
                found[_name(place.encoder, place.method)] = read_numbers(path, ("fold",))
    return found


def _name(encoder: str, method: str) -> str:
    return method if encoder == "none" else f"{method} ({encoder})"


def _pictures(frame: pd.DataFrame, overlays: Mapping[str, Path], budget: int) -> dict[str, bytes]:
    """Small pictures of each patient's first slide that has one, as long as the budget lasts."""
    pictures: dict[str, bytes] = {}
    for patient, slides in zip(frame["patient"], frame["slide_ids"], strict=True):
        path = next((overlays[slide] for slide in slides if slide in overlays), None)
        content = _small(path) if path else b""
        if not content or len(content) > budget:
            continue
        pictures[str(patient)] = content
        budget -= len(content)
    return pictures


def _small(path: Path) -> bytes:
    """A small JPEG of a picture; empty where it is gone or damaged."""
    try:
        rgb = read_rgb(path)
    except InputError:
        return b""
    height, width = rgb.shape[:2]
    size = (max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(small), [cv2.IMWRITE_JPEG_QUALITY, 70])
    return encoded.tobytes()
