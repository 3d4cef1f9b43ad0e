"""The nested choice of the epoch: planted curves, what is reported, who has a say in it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import InputError
from mirrorflow.learners import registry as predictors
from mirrorflow.learners.base import Trained
from mirrorflow.learners.curves import best_epoch, mean_curve
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.probes.task import EpochRule, Prediction, SubtypePrediction, SurvivalPrediction
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import write_cohort, write_fold

PATIENTS = [f"P{number:02}" for number in range(20)]
FOLD = Fold(tuple(PATIENTS[:16]), tuple(PATIENTS[16:]))
INNER = [Fold(tuple(PATIENTS[:8]), tuple(PATIENTS[8:16])), Fold(tuple(PATIENTS[8:16]), tuple(PATIENTS[:8]))]
NESTED = PROTOCOL_PRESETS["honest"] | {"epoch": "nested"}
EPOCHS = 4


def people() -> pd.DataFrame:
    number = np.arange(len(PATIENTS))
    return pd.DataFrame(
        {
            "patient": PATIENTS,
            "label": np.array(["a", "b"])[number % 2],
            "time_days": 10.0 + number,
            "event": 1.0,
            "site": "s",
            "slide_ids": [[f"{name}-1"] for name in PATIENTS],
        }
    )


class Numbers:
    """The number of each patient as its only feature; remembers what it was asked."""

    def __init__(self, name: str = "n") -> None:
        self.name, self.asked = name, []

    def digest(self, fold_number: int) -> str:
        return f"{self.name}{fold_number}"

    def vectors(self, fold: Fold, number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame) -> FoldVectors:
        self.asked.append((fold, list(train["patient"]), list(evaluation["patient"])))
        return FoldVectors(
            *(part["patient"].str[1:].astype(float).to_numpy()[None, :, None] for part in (train, evaluation))
        )


class Scripted:
    """A method whose epochs get a known number of units right, by the inner fold it is trained on."""

    def __init__(self, right: Mapping[str, list[int]]) -> None:
        self.right, self.rules = right, []

    def __call__(
        self, vectors: Any, fold_task: FoldTask, _method: Mapping[str, Any], rule: EpochRule, checkpoint: Any = None
    ) -> Trained:
        self.rules.append((fold_task.setting, fold_task.task, rule))
        last = rule.stop_after or EPOCHS
        made = [self.predict(vectors, fold_task, epoch) for epoch in range(1, last + 1)]
        for prediction in made if rule.scorer else ():
            rule.scorer(prediction)
        return Trained(made[-1], {}, {})

    def predict(self, vectors: Any, fold_task: FoldTask, epoch: int) -> Prediction:
        right = self.right.get(fold_task.setting, [0] * EPOCHS)[epoch - 1]
        number = vectors.evaluation[0, :, 0].astype(int)
        good = np.arange(len(number)) < right
        if fold_task.edges is None:
            return SubtypePrediction(np.eye(2)[np.where(good, number % 2, 1 - number % 2)], epoch)
        return SurvivalPrediction(np.where(good, -number, number).astype(float), None, epoch)


def job(folder: Path, inner: list[Fold] = INNER, frame: pd.DataFrame | None = None, **changes: Any) -> Plan:
    write_cohort(folder / "cohort.parquet", people() if frame is None else frame, ["a", "b"])
    splits = [str(folder / "splits_0.csv")]
    write_fold(splits[0], FOLD)
    inner_splits = [[str(folder / f"inner{number}-splits_0.csv")] for number in range(len(inner))]
    for (path,), part in zip(inner_splits, inner, strict=True):
        write_fold(path, part)
    support = str(folder / "support.tsv")
    draw_support(str(folder / "cohort.parquet"), splits, support, unit="patient", shots=[2], bins=2, seed=1)
    plan = Plan(
        cohort=str(folder / "cohort.parquet"),
        splits=splits,
        support=support,
        protocol=NESTED,
        tasks=["subtyping"],
        shots=[2],
        seeds=[1],
        bins=2,
        method={"family": "mirror"},
        inner_splits=inner_splits,
    )
    return replace(plan, **changes)


def predict(plan: Plan, folder: Path, inner: list[Numbers] | None = None) -> dict[str, Any]:
    """Notes of each setting."""
    inner = [Numbers("i"), Numbers("j")] if inner is None else inner
    predict_method(plan, Numbers(), str(folder / "p"), str(folder / "p" / "manifest.json"), "test", inner=inner)
    path = folder / "p" / plan.tasks[0] / "fold0.parquet"
    return {note["setting"]: note for note in read_predictions(path).notes["settings"]}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    method = Scripted({"all, inner fold 0": [4, 8, 2, 8], "all, inner fold 1": [4, 4, 8, 6]})
    monkeypatch.setattr(predictors, "_head", method)
    return method


def test_the_first_of_the_best_means_is_taken_and_rounding_breaks_no_tie():
    assert best_epoch(mean_curve([[0.2, 0.9, 0.1], [0.8, 0.1, 0.9]])) == 1
    assert best_epoch(mean_curve([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]])) == 1
    assert best_epoch([0.1, 0.1 + 1e-6]) == 2


def test_the_epoch_with_the_best_mean_of_the_inner_folds_is_reported(tmp_path, scripted):
    notes = predict(job(tmp_path), tmp_path)
    # Means of 8 units: 4, 6, 5, 7 right; the best single epoch of either fold comes earlier.
    assert notes["all"]["epoch_choice"]["mean"] == [0.5, 0.75, 0.625, 0.875]
    assert notes["all"]["epoch_choice"]["inner_folds"] == [0, 1]
    assert notes["all"]["epoch"] == notes["all"]["epoch_choice"]["epoch"] == 4
    scripted.right["all, inner fold 1"] = [4, 8, 8, 6]
    assert predict(replace(job(tmp_path), seeds=[2]), tmp_path)["all"]["epoch"] == 2


def test_the_whole_training_fold_is_trained_on_up_to_the_chosen_epoch(tmp_path, scripted):
    scripted.right["all, inner fold 0"] = [0, 0, 8, 0]
    predict(job(tmp_path), tmp_path)
    rules = {setting: rule for setting, _, rule in scripted.rules}
    assert rules["all"] == EpochRule(stop_after=3)
    assert rules["2-shot"] == EpochRule()
    assert rules["all, inner fold 0"].units == len(FOLD.train)


def test_k_shot_settings_report_the_last_epoch(tmp_path, scripted):
    notes = predict(job(tmp_path), tmp_path)
    assert notes["2-shot"]["epoch"] == EPOCHS
    assert "epoch_choice" not in notes["2-shot"]


def test_each_inner_fold_is_asked_for_its_own_patients_alone(tmp_path, scripted):
    inner = [Numbers("i"), Numbers("j")]
    predict(job(tmp_path), tmp_path, inner)
    assert [one.asked for one in inner] == [[(part, list(part.train), list(part.val))] for part in INNER]


def test_survival_goes_by_the_c_index_with_bins_of_the_inner_training_part(tmp_path, scripted, monkeypatch):
    seen = {}
    call = Scripted.__call__

    def spy(
        self: Scripted, vectors: Any, fold_task: FoldTask, method: Any, rule: EpochRule, checkpoint: Any = None
    ) -> Prediction:
        seen[fold_task.setting] = fold_task.edges
        return call(self, vectors, fold_task, method, rule)

    monkeypatch.setattr(Scripted, "__call__", spy)
    notes = predict(job(tmp_path, tasks=["survival"], shots=[]), tmp_path)
    assert notes["all"]["epoch_choice"]["mean"][0] == pytest.approx(0.5, abs=0.3)
    times = people()["time_days"].to_numpy()
    assert seen["all, inner fold 0"][1] == np.median(times[:8])
    assert seen["all, inner fold 1"][1] == np.median(times[8:16])
    assert seen["all"][1] == np.median(times[:16])


def test_an_inner_fold_that_cannot_answer_is_left_out_with_the_reason(tmp_path, scripted):
    frame = people()
    frame.loc[frame["patient"].isin(PATIENTS[:4]), "event"] = 0.0
    inner = [Fold(tuple(PATIENTS[:4]), INNER[0].val), Fold(INNER[0].val, tuple(PATIENTS[4:8]))]
    choice = predict(job(tmp_path, inner, frame, tasks=["survival"], shots=[]), tmp_path)["all"]["epoch_choice"]
    assert choice["inner_folds"] == [1]
    assert "no event among the training patients" in choice["left_out"]["0"]


def test_without_any_inner_fold_that_answers_the_setting_is_left_out_with_the_reasons(tmp_path, scripted):
    frame = people()
    frame.loc[frame["patient"].isin(INNER[0].train), "event"] = 0.0
    with pytest.raises(InputError, match="not readable"):
        predict(job(tmp_path, frame=frame, tasks=["survival"], shots=[]), tmp_path)
    (reason,) = json.loads((tmp_path / "p" / "manifest.json").read_text())["skipped"].values()
    assert "inner fold 0: no event among the training patients" in reason
    assert "inner fold 1: the metric of survival is undefined on its 8 validation units" in reason


def test_vectors_of_an_inner_fold_that_cannot_be_had_stop_the_job(tmp_path, scripted):
    broken = Numbers("i")

    def refuse(*_: Any) -> FoldVectors:
        message = "inner features are gone"
        raise InputError(message)

    broken.vectors = refuse
    with pytest.raises(InputError, match="inner features are gone"):
        predict(job(tmp_path), tmp_path, [broken, Numbers("j")])


def test_evaluation_labels_have_no_say_in_the_epoch(tmp_path, scripted):
    before = predict(job(tmp_path), tmp_path)
    frame = people()
    frame.loc[frame["patient"].isin(FOLD.val), "label"] = ["b", "a", "b", "a"]
    after = predict(job(tmp_path, frame=frame), tmp_path)
    assert after == before
    frame = people()
    frame.loc[frame["patient"].isin(INNER[1].val), "label"] = "b"
    assert predict(job(tmp_path, frame=frame), tmp_path)["all"]["epoch_choice"] != before["all"]["epoch_choice"]


def test_finished_predictions_are_kept_until_an_inner_fold_changes(tmp_path, scripted):
    predict(job(tmp_path), tmp_path)
    calls = len(scripted.rules)
    predict(job(tmp_path), tmp_path)
    assert len(scripted.rules) == calls
    predict(job(tmp_path), tmp_path, [Numbers("i"), Numbers("other")])
    assert len(scripted.rules) == 2 * calls
    changed = [INNER[0], Fold(INNER[1].train, INNER[1].val[1:])]
    notes = predict(job(tmp_path, changed), tmp_path, [Numbers("i"), Numbers("other")])
    assert len(scripted.rules) == 3 * calls
    assert notes["all"]["epoch_choice"]["splits"][0] != notes["all"]["epoch_choice"]["splits"][1]


def test_methods_without_epochs_need_no_inner_fold(tmp_path):
    plan = job(tmp_path, [], method={"family": "majority"})
    notes = predict(plan, tmp_path, [])
    assert notes["all"]["epoch"] is None
    assert "epoch_choice" not in notes["all"]


def test_a_probe_without_its_inner_folds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs the split files of inner folds"):
        predict(job(tmp_path, []), tmp_path, [])
