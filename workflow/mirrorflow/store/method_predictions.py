"""A method's predictions as tables, figures and the auditor read them: unchanged, with the cohort's outcomes.

The manifest beside the files names each with a checksum of its content. Labels, times and events are those of the
cohort file, never those of a predictions file: a row that says otherwise is a fault, and so is a changed file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts import outcomes
from mirrorflow.errors import InputError
from mirrorflow.store.predictions import Predictions, read_predictions

EDITED = "edited_predictions"
"""Kind of the fault of a file whose content is not what its manifest says."""

FIX = "delete this file and the method's manifest.json and run again"
"""What restores a file with a fault."""

BELOW_RUN = 5
"""A manifest lies in predictions/<protocol>/<cohort>/<encoder>/<method> of a run."""
MODEL_BELOW_RUN = 9
"""A model lies in <scope>/<cohort>/models/<encoder>/<method>/<task>/<setting>/seed<s>/fold<k>."""

_SAID = {
    outcomes.UNKNOWN_PATIENTS: "who are not in the cohort",
    outcomes.FILLED_IN: "on a label or outcome that the cohort does not know",
    outcomes.OTHER_TARGETS: "on a label or outcome that the cohort has otherwise",
}


@dataclass(frozen=True)
class Fault:
    """Why a predictions file cannot be used: its kind, a sentence, and the patients concerned."""

    kind: str
    text: str
    patients: tuple[str, ...] = ()

    def said(self) -> str:
        """The sentence with the first patients."""
        return f"{self.text} ({', '.join(self.patients[:3])})" if self.patients else self.text


@dataclass(frozen=True)
class Manifest:
    """What a method wrote: file -> digest of what it was made from; what it left out, and why; file -> checksum."""

    path: Path
    written: Mapping[str, str]
    skipped: Mapping[str, str]
    checksums: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    """Folder of each model that was kept -> digest of what it was made from."""

    @property
    def names(self) -> list[str]:
        """Names of the files, ``<task>/fold<k>.parquet``, each task's in the order of the folds."""
        return sorted(self.written, key=lambda name: (len(name), name))  # fold 2 before fold 10

    def why_without(self, task: str) -> str:
        """Why a task, or a part of it, was left out; empty where nothing was."""
        return "; ".join(sorted({why for name, why in self.skipped.items() if name.split("/")[0] == task}))

    def is_edited(self, name: str, stored: Predictions) -> bool:
        """Whether the file's content is not what was written; False where the manifest has no checksum of it."""
        return name in self.checksums and stored.content != self.checksums[name]

    def faults(self, name: str, stored: Predictions, cohort: pd.DataFrame) -> list[Fault]:
        """What is wrong with the file ``name``, read as ``stored``, on this cohort."""
        found = []
        if self.is_edited(name, stored):
            found.append(Fault(EDITED, "its content is not what its manifest says: it was changed after it was made"))
        task = name.split("/")[0]
        for kind, patients in outcomes.differing_outcomes(stored.rows, cohort, task).items():
            text = f"{len(patients)} patients are evaluated {_SAID[kind]}"
            found.append(Fault(kind, text, tuple(patients)))
        return found


def read_manifest(path: str | Path) -> Manifest:
    """Read ``manifest.json``. Raises InputError when it is not there or is none."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        return Manifest(
            Path(path), record["written"], record["skipped"], record.get("checksums", {}), _here(path, record)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path}: not readable as the manifest of a method's predictions ({error}); delete it and run again"
        raise InputError(message) from error


def _here(path: str | Path, record: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Folders of the models below the run that the manifest lies in now: it may have been renamed or copied."""
    models, above = dict(record.get("models", {})), Path(path).parents
    if len(above) <= BELOW_RUN or above[BELOW_RUN - 1].name != "predictions":
        return models  # of no run
    here = {folder: above[BELOW_RUN].joinpath(*Path(folder).parts[-MODEL_BELOW_RUN:]) for folder in models}
    return {str(here[folder]) if here[folder].is_dir() else folder: digest for folder, digest in models.items()}


def read_stored(manifest: Manifest, name: str) -> Predictions:
    """The file ``name`` as it lies there. Raises InputError where it is gone or damaged."""
    path = manifest.path.parent / name
    if not path.exists():
        message = f"{path}: gone, though {manifest.path} names it; delete the manifest and run again"
        raise InputError(message)
    return read_predictions(path)


def read_checked(manifest: Manifest, name: str, cohort: pd.DataFrame) -> Predictions:
    """The file ``name`` with labels and outcomes of ``cohort``.

    Raises InputError with the fix where it is gone, damaged or changed, or says another label or outcome.
    """
    stored = read_stored(manifest, name)
    if faults := manifest.faults(name, stored, cohort):
        said = "; ".join(one.said() for one in faults)
        message = f"{manifest.path.parent / name}: {said}; no number is made from it. {FIX[0].upper()}{FIX[1:]}"
        raise InputError(message)
    return replace(stored, rows=outcomes.with_outcomes(stored.rows, cohort, name.split("/")[0]))


def read_task(manifest: Manifest, task: str, cohort: pd.DataFrame) -> list[Predictions]:
    """Every fold of a task in their order, as :func:`read_checked` reads them."""
    return [read_checked(manifest, name, cohort) for name in manifest.names if name.startswith(f"{task}/")]
