"""Rule predict_unknown_causes: risks of the dead of unknown cause by the models that predictions were made with.

They are in no headline metric and nobody was trained on their outcome: these risks say what that could change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import to_units, who_has_all
from mirrorflow.cohorts.splits import Fold
from mirrorflow.cohorts.unknown_causes import folds_of_unknown
from mirrorflow.errors import InputError
from mirrorflow.learners.inputs.bagged import bag_files
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.learners.saved import RawUnits, SavedModel, load_trained
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.plan.paths import EmbeddingsRecord, FeatureIndex, PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.probes.task import SubtypePrediction
from mirrorflow.runtime.job import Job
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.expression import read_expression
from mirrorflow.store.method_predictions import read_manifest
from mirrorflow.store.model_files import stored_config
from mirrorflow.store.tables import read_cohort, read_fold, write_sheet
from mirrorflow.training.bags import SomeBags

COLUMNS = ["encoder", "method", "seed", "fold", "patient", "slide_id", "risk"]
TASK = "survival"


@dataclass(frozen=True)
class Inputs:
    """The cohort and its folds; manifests of the methods; indexes, expression and embeddings that models see."""

    cohort: Path
    splits: list[Path]
    manifests: list[Path]
    indexes: list[Path]
    expression: Path | None
    embeddings: list[Path]


@dataclass(frozen=True)
class Outputs:
    """A row a method, seed and unit of the dead of unknown cause."""

    sheet: Path


@dataclass(frozen=True)
class Params:
    """The protocol; what the methods' predictions are planned with."""

    protocol: Mapping[str, Any]
    planned: list[Mapping[str, Any]] = field(default_factory=list)


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Predict the dead of unknown cause."""
    hold_predictions(params.planned)
    unknown = UnknownUnits.of(inputs, params.protocol)
    rows = [row for manifest in inputs.manifests for row in unknown.predicted(manifest)]
    write_sheet(outputs.sheet, pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS))


@dataclass
class UnknownUnits:
    """Units of the dead of unknown cause (``unit``, ``fold``, ...) and where their data lie."""

    units: pd.DataFrame
    folds: Sequence[Fold]
    expression: Path | None
    indexes: Mapping[str, Path]
    """Encoder -> index of its features."""
    embeddings: Mapping[tuple[str, str], Embedded]
    """(encoder, method) -> embeddings of a pretrained method."""
    _bags: dict[str, FeatureBags] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs, protocol: Mapping[str, Any]) -> "UnknownUnits":
        """From a job's inputs; each unit belongs to the fold that predicts its patient."""
        frame, folds = who_has_all(read_cohort(inputs.cohort)[0]), [read_fold(path) for path in inputs.splits]
        home = folds_of_unknown(frame, folds)
        units = to_units(frame[frame["patient"].isin(list(home))], protocol["unit"])
        indexes = {FeatureIndex.parse(path).encoder: path for path in inputs.indexes}
        units = units.assign(fold=units["patient"].map(home))
        return cls(units, folds, inputs.expression, indexes, _embedded(inputs.embeddings, protocol))

    def predicted(self, manifest: Path) -> Iterator[pd.DataFrame]:
        """Rows of each model of a method, of all training data. Raises InputError where a model is gone or another."""
        for folder, key in read_manifest(manifest).models.items():
            place = LabelledModel.parse(Path(folder) / "config.json")
            if place.task != TASK or place.setting != ALL_DATA:
                continue
            mine = np.flatnonzero(self.units["fold"] == place.fold)
            if stored_config(Path(folder)).get("digest") != key:
                message = f"{folder}: not the model that {manifest} names; delete that manifest and run again"
                raise InputError(message)
            if len(mine):
                yield self._rows(load_trained(Path(folder)), PredictionsManifest.parse(manifest), place, mine)

    def _rows(
        self, saved: SavedModel, method: PredictionsManifest, place: LabelledModel, mine: np.ndarray
    ) -> pd.DataFrame:
        units = self.units.iloc[mine].reset_index(drop=True)
        prediction = saved.predict(saved.prepare(self._raw(saved, method, place, units, mine)))
        if isinstance(prediction, SubtypePrediction):
            message = f"{saved.folder}: predicts classes, not survival"
            raise InputError(message)
        rows = units[["patient", "slide_id"]].assign(encoder=method.encoder, method=method.method, risk=prediction.risk)
        return rows.assign(seed=place.seed, fold=place.fold)[COLUMNS]

    def _raw(
        self,
        saved: SavedModel,
        method: PredictionsManifest,
        place: LabelledModel,
        units: pd.DataFrame,
        mine: np.ndarray,
    ) -> RawUnits:
        """What a model may ask for, of the units at ``mine``."""
        embedded = self.embeddings.get((method.encoder, method.method))
        if embedded is not None:
            nobody = units.iloc[:0]
            found = embedded.vectors(self.folds[place.fold], place.fold, place.seed, nobody, units)
            return RawUnits(units, vectors=found.evaluation)
        sees_slides = "slides" in saved.config["inputs"].get("inputs", ())
        bags = SomeBags(self._all_bags(method.encoder), mine.tolist()) if sees_slides else None
        return RawUnits(units, bags, self._genes(saved.genes, units) if saved.genes else None)

    def _all_bags(self, encoder: str) -> FeatureBags:
        if encoder not in self._bags:
            files = bag_files(self.indexes[encoder], self.units)
            self._bags[encoder] = FeatureBags(files, cache_gb=0, names=self.units["unit"].tolist())
        return self._bags[encoder]

    def _genes(self, genes: Sequence[str], units: pd.DataFrame) -> np.ndarray:
        patients = sorted(set(units["patient"]))
        values = read_expression(str(self.expression), patients=patients, genes=genes).values
        row = {patient: number for number, patient in enumerate(patients)}
        return values[[row[patient] for patient in units["patient"]]]


def _embedded(records: Sequence[Path], protocol: Mapping[str, Any]) -> dict[tuple[str, str], Embedded]:
    found: dict[tuple[str, str], list[str]] = {}
    for path in records:
        place = EmbeddingsRecord.parse(path)
        found.setdefault((place.encoder, place.method), []).append(str(path))
    resampled = protocol["probe_features"] == "resampled_dropout"
    return {key: Embedded.of_records(paths, resampled=resampled) for key, paths in found.items()}
