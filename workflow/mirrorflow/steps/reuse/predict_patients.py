"""Rule predict_patients: new patients by the models of the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.reuse.files import write_predicted
from mirrorflow.reuse.predict import Predicted, predict_patients
from mirrorflow.reuse.request import Request, chosen
from mirrorflow.reuse.run_folder import FinishedRun, open_run
from mirrorflow.runtime.job import Job
from mirrorflow.steps.reuse.new_inputs import Given, gather


@dataclass(frozen=True)
class Inputs:
    """Manifests of the protocol's methods."""

    manifests: list[Path]


@dataclass(frozen=True)
class Outputs:
    """What was done, in words; the tables lie beside it."""

    about: Path


@dataclass(frozen=True)
class Params:
    """The folder of the run, the patients' entry of the config."""

    results: str
    entry: Mapping[str, Any]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Predict the patients of an entry of ``new_patients``."""
    out, entry = outputs.about.parent, params.entry
    run = open_run(params.results).of(inputs.manifests)
    predict_given(run, given_by(entry, out / "work"), asked_by(entry), out, job.threads)


FILES = ("slides", "features", "expression", "sheet", "weights")
ASKED = ("protocol", "cohort", "encoder", "methods", "days", "coverage", "missing_genes")


def given_by(entry: Mapping[str, Any], work: Path) -> Given:
    """The files of an entry."""
    files: dict[str, Any] = {key: Path(entry[key]) for key in FILES if entry.get(key)}
    matrix = {key: entry[key] for key in ("orientation", "sample_ids") if entry.get(key)}
    return Given(work, **files, matrix=matrix)


def asked_by(entry: Mapping[str, Any]) -> Request:
    """What an entry asks."""
    asked: dict[str, Any] = {key: entry[key] for key in ASKED if entry.get(key) is not None}
    for key in ("days", "methods"):
        if key in asked:
            asked[key] = tuple(asked[key])
    return Request(**asked)


def predict_given(
    run: FinishedRun, given: Given, request: Request, out: Path, threads: int
) -> tuple[Predicted, list[Path]]:
    """Predict and write everything to ``out``.

    Raises InputError where nothing was given, or as ``gather`` and ``predict_patients``.
    """
    if not any((given.slides, given.features, given.expression, given.sheet)):
        message = "no new patients: give slides, features, an expression sheet or a sheet of patients"
        raise InputError(message)
    _use_threads(threads)
    found = gather(run, chosen(run, request), given, threads)
    made = predict_patients(run, found.patients, request)
    made.notes += found.notes
    made.checks += found.checks
    rows = [("all that see slides", "all", slide, reason) for slide, reason in found.faults.items()]
    faulty = pd.DataFrame(rows, columns=made.left_out.columns)
    made.left_out = pd.concat([faulty, made.left_out], ignore_index=True) if rows else made.left_out
    return made, write_predicted(made, out)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
