"""Survival probes on the units they were fitted on: which head, which units, and that the table says what it is."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import InputError
from mirrorflow.evaluation import FoldRows, score_cells
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.tasks import FoldTasks, Plan
from mirrorflow.steps.results.make_training_folds import make_training_folds
from mirrorflow.steps.results.training_patients import training_patients
from mirrorflow.steps.training.score_training_folds import score_training_folds, training_rows
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_numbers, read_text_sheet, write_cohort, write_fold, write_sheet
from mirrorflow.tables.training_folds import METRICS, NUMBERS, SCORED

RESOURCES = Path(__file__).parents[2] / "resources"
METHOD = "predictions/honest/demo/phikon/mirror"
PAIRS, FOLDS, DRAWS = 40, 2, 3
PROBE = {
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 0.05,
    "survival_learning_rate": 0.05,
    "label_smoothing": 0.0,
    "weight_decay": 0.0,
    "standardize": True,
    "survival_bins": 4,
}


@dataclass
class Twins:
    """Noise, the same for P07 and its twin Q07; training draws of ``resampled`` vectors have noise of their own."""

    resampled: bool = False

    def digest(self, fold_number: int) -> str:
        return f"twins-{fold_number}"

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        fitted_on = self._of(train)
        if self.resampled:
            fitted_on = fitted_on + np.random.default_rng(seed).normal(size=(DRAWS, *fitted_on.shape[1:]))
        return FoldVectors(fitted_on, self._of(evaluation))

    def _of(self, units: pd.DataFrame) -> np.ndarray:
        return np.stack([np.random.default_rng(int(name[1:])).normal(size=12) for name in units["patient"]])[None]


def prepare(folder: Path, *, seeds: tuple[int, ...] = (42,), **protocol: object) -> Plan:
    """Patients P00, P01, ... and their twins Q00, Q01, ...: fold 0 trains on the P and evaluates the Q, fold 1 back."""
    rng = np.random.default_rng(5)
    names = [f"{letter}{i:02}" for letter in "PQ" for i in range(PAIRS)]
    frame = pd.DataFrame({"patient": names, "label": "a", "site": "", "slide_ids": [[f"{name}-1"] for name in names]})
    frame["time_days"] = rng.exponential(500, len(names)).round() + 1
    frame["event"] = (rng.random(len(names)) < 0.6).astype(float)
    write_cohort(folder / "cohort.parquet", frame, ["a"])
    parts = tuple(names[:PAIRS]), tuple(names[PAIRS:])
    splits = [str(folder / f"splits_{k}.csv") for k in range(FOLDS)]
    for path, (train, val) in zip(splits, (parts, parts[::-1]), strict=True):
        write_fold(path, Fold(train, val))
    return Plan(
        cohort=str(folder / "cohort.parquet"),
        splits=splits,
        support="",
        protocol=PROTOCOL_PRESETS["honest"] | protocol,
        tasks=["survival"],
        shots=[],
        seeds=seeds,
        bins=PROBE["survival_bins"],
        method={"family": "mirror", "probe": PROBE},
    )


def audit_record(folder: Path, level: str = "warning") -> Path:
    path = folder / "audit.json"
    path.write_text(json.dumps({"claims_honest": True, "findings": [{"level": level, "kind": "k", "text": "t"}]}))
    return path


def scored(folder: Path, plan: Plan, vectors: Twins, level: str = "warning") -> pd.DataFrame:
    manifest = folder / METHOD / "manifest.json"
    predict_method(plan, vectors, str(manifest.parent), str(manifest), "test")
    sheet = folder / "mirror.tsv"
    score_training_folds(plan, vectors, manifest, audit_record(folder, level), sheet, "test", strict=True)
    return read_numbers(sheet, NUMBERS)


@pytest.mark.parametrize(
    ("protocol", "resampled"),
    [({}, False), ({"epoch": "best_on_evaluation"}, False), ({"epoch": "best_on_evaluation"}, True)],
)
def test_the_head_is_the_one_behind_the_predictions(tmp_path, protocol, resampled):
    plan, vectors = prepare(tmp_path, seeds=(1, 2), **protocol), Twins(resampled)
    scored(tmp_path, plan, vectors)
    asked = FoldTasks(plan)
    epochs = set()
    for number in range(FOLDS):
        stored = read_predictions(tmp_path / f"{METHOD}/survival/fold{number}.parquet")
        for fold_task in asked.fold_tasks("survival", number):
            note = next(note for note in stored.notes["settings"] if note["seed"] == fold_task.seed)
            epochs.add(note["epoch"])
            own = training_rows(asked, fold_task, vectors, note["epoch"]).set_index("patient")
            assert sorted(own.index) == sorted(asked.folds[number].train)
            twins = stored.rows[stored.rows["seed"] == fold_task.seed].set_index("patient")
            swapped = [name.translate(str.maketrans("PQ", "QP")) for name in own.index]
            np.testing.assert_allclose(own["risk"], twins.loc[swapped, "risk"], atol=1e-6)
            assert (own["time_days"].to_numpy() != twins.loc[swapped, "time_days"].to_numpy()).any()
    assert (epochs == {PROBE["epochs"]}) == (not protocol), "the published choice takes another epoch than the last"


def test_both_parts_are_scored_with_the_evaluations_own_functions(tmp_path):
    plan, vectors = prepare(tmp_path, seeds=(1, 2)), Twins()
    rows = scored(tmp_path, plan, vectors).set_index(["part", "metric"])
    assert set(rows.index) == {(part, metric) for part in ("training", "evaluation") for metric in METRICS}
    outcomes, asked = training_patients(plan.cohort, plan.splits), FoldTasks(plan)
    stored = [read_predictions(tmp_path / f"{METHOD}/survival/fold{k}.parquet") for k in range(FOLDS)]
    own = [
        pd.concat([training_rows(asked, q, vectors, PROBE["epochs"]) for q in asked.fold_tasks("survival", k)])
        for k in range(FOLDS)
    ]
    for part, tables in {"evaluation": [one.rows for one in stored], "training": own}.items():
        folds = [FoldRows(table, stored[k].notes, outcomes[k]) for k, table in enumerate(tables)]
        cells = score_cells("survival", folds, resamples=0, confidence=0.95, seed=0)
        expected = {cell["metric"]: cell for cell in cells}
        for metric in METRICS:
            row = rows.loc[(part, metric)]
            assert row["mean"] == pytest.approx(expected[metric]["mean"])
            assert row["sd"] == pytest.approx(expected[metric]["sd"])
            assert row["seed_sd"] == pytest.approx(expected[metric]["seed_sd"])
            assert row["tau_days"] == expected[metric]["tau_days"] != ""
    assert (rows["n"] == 2 * PAIRS).all()


def test_noise_that_is_learned_by_heart_looks_good_on_training_folds_alone(tmp_path):
    """Why the table says what it is: outcomes have nothing to do with the vectors."""
    plan = prepare(tmp_path)
    plan = replace(plan, method={"family": "mirror", "probe": PROBE | {"epochs": 60}})
    means = scored(tmp_path, plan, Twins()).set_index(["part", "metric"])["mean"]
    assert means["training", "mean_t_auc"] > 0.75
    assert means["evaluation", "mean_t_auc"] < 0.62
    for metric in ("ibs", "mean_brier"):
        assert means["training", metric] < means["evaluation", metric] - 0.03


def test_units_lost_with_the_last_batch_are_evaluation_units(tmp_path):
    rows = scored(tmp_path, prepare(tmp_path, evaluate_all=False), Twins()).set_index(["part", "metric"])
    assert (rows.loc["evaluation", "n"] == 2 * 32).all()
    assert (rows.loc["training", "n"] == 2 * PAIRS).all()


def test_few_events_of_training_units_are_called_so(tmp_path):
    plan = prepare(tmp_path)
    frame = pd.read_parquet(plan.cohort)
    few = frame["event"].where(frame["patient"].str.startswith("Q") | (frame.groupby("event").cumcount() < 5), 0.0)
    write_cohort(plan.cohort, frame.assign(event=few), ["a"])
    rows = scored(tmp_path, plan, Twins()).set_index(["part", "metric"])
    assert rows.loc[("training", "ibs"), "unstable"] == "fewer than 10 training events (fold 0: 5)"
    assert rows.loc[("evaluation", "ibs"), "unstable"] == "fewer than 10 evaluation events (fold 1: 5)"


def test_numbers_of_a_broken_claim_and_of_a_cohort_without_outcomes_are_no_rows(tmp_path):
    assert scored(tmp_path, prepare(tmp_path), Twins(), level="leak").empty
    plan = prepare(tmp_path)
    write_cohort(plan.cohort, pd.read_parquet(plan.cohort).assign(time_days=np.nan, event=np.nan), ["a"])
    assert scored(tmp_path, plan, Twins()).empty


# The table.


def sheet(folder: Path, method: str, *, rows: bool = True) -> dict[str, str]:
    table = pd.DataFrame(
        [
            {"part": part, "metric": metric, "mean": 0.2, "sd": 0.01, "n": 80, "folds": 2}
            for part in ("training", "evaluation")
            for metric in METRICS
        ],
        columns=SCORED,
    )
    path = folder / f"{method}.tsv"
    write_sheet(path, table if rows else table[:0])
    where = {"protocol": "honest-published", "cohort": "nsclc", "encoder": "phikon", "method": method}
    return where | {"path": str(path)}


def make(folder: Path, *sheets: dict[str, str]) -> pd.DataFrame:
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_training_folds(sheets, published, names, folder / "training_folds")
    return read_numbers(folder / "training_folds.csv", [*NUMBERS, "published_mean"])


def test_the_published_values_stand_beside_training_folds_alone_with_their_mark(tmp_path):
    table = make(tmp_path, sheet(tmp_path, "mirror"), sheet(tmp_path, "tangle"), sheet(tmp_path, "mirror--alignment"))
    training = table[table["part"] == "training"].set_index(["method", "metric"])
    assert training.loc["mirror", "published_mean"].to_dict() == {"ibs": 0.119, "mean_t_auc": 0.94, "mean_brier": 0.141}
    assert training.loc["tangle", "published_mean"].to_dict() == {"ibs": 0.217, "mean_t_auc": 0.598, "mean_brier": 0.23}
    assert set(training.loc[["mirror", "tangle"], "suspect"]) == {"encoder, setting or cohort inferred, not stated"}
    assert training.loc["mirror--alignment", "published_mean"].isna().all()
    evaluation = table[table["part"] == "evaluation"]
    assert evaluation["published_mean"].isna().all()
    assert set(evaluation["suspect"]) == {""}
    assert set(table["comparable"]) == {"no"}
    assert set(table["why_not"]) == {
        "no published value", "the published time grid, censoring weights, epoch and folds are not stated",
    }  # fmt: skip


def test_a_reader_is_told_loudly_that_it_is_no_evaluation(tmp_path):
    make(tmp_path, sheet(tmp_path, "mirror"))
    text = (tmp_path / "training_folds.md").read_text(encoding="utf-8")
    assert text.startswith("NO EVALUATION: ")
    assert "plain mean of the Brier scores over the grid" in text
    rows = text.splitlines()[2:]
    assert rows[0] == "| Protocol | Cohort | Encoder | Method | Part | IBS | Mean t-AUC | Mean Brier |"
    assert "| training (fitted on) | 0.200 ± 0.010 (0.119, suspect) | 0.200 ± 0.010 (0.94, suspect) |" in rows[2]
    assert "| evaluation | 0.200 ± 0.010 | 0.200 ± 0.010 | 0.200 ± 0.010 |" in rows[3]
    latex = (tmp_path / "training_folds.tex").read_text(encoding="utf-8")
    assert "NO EVALUATION" in latex
    assert r"\label{tab:training_folds}" in latex


def test_methods_without_rows_leave_the_others_rows(tmp_path):
    table = make(tmp_path, sheet(tmp_path, "tangle", rows=False), sheet(tmp_path, "mirror"))
    assert set(table["method"]) == {"mirror"}
    make(tmp_path, sheet(tmp_path, "mirror", rows=False))
    assert read_text_sheet(tmp_path / "training_folds.csv").empty
    assert (tmp_path / "training_folds.md").read_text(encoding="utf-8").startswith("NO EVALUATION")


def test_a_run_without_survival_probes_says_so(tmp_path):
    with pytest.raises(InputError, match="no pretrained method of this run has the task survival"):
        make(tmp_path)
