"""predict_method on a small cohort written to disk, with vectors handed in: what is fitted, written, kept."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_once import made_once
from mirrorflow.audit.fits import Fits
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config import versions
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import InputError
from mirrorflow.learners import predict
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.learners.tasks import FoldTasks
from mirrorflow.metrics import accuracy, c_index, confusion
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_inner_splits import make_inner_splits
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.store.predictions import content_digest, read_predictions
from mirrorflow.store.tables import read_cohort, read_fold, read_numbers, read_text_sheet, write_cohort, write_fold
from mirrorflow.tables.results import NUMBERS

RESOURCES = Path(__file__).parents[2] / "resources"
FOLDS, BINS, CLASSES = 3, 4, ["a", "b", "c"]
HONEST = PROTOCOL_PRESETS["honest"] | {"splits": "random"}
LINEAR = {"family": "linear", "C": 0.1}
PROBE = {
    "epochs": 15,
    "batch_size": 16,
    "learning_rate": 0.02,
    "survival_learning_rate": 0.02,
    "label_smoothing": 0.1,
    "weight_decay": 0.0,
    "standardize": False,
    "survival_bins": BINS,
}
METHODS = {
    "linear": LINEAR,
    "majority": {"family": "majority"},
    "mirror": {"family": "mirror", "probe": PROBE},
    "cox": {"family": "cox", "components": 3, "alpha": 1.0},
}


def people(count: int = 60) -> pd.DataFrame:
    """Three classes; times whose hazard rises with the class; two slides for every third patient."""
    rng = np.random.default_rng(0)
    number = np.arange(count)
    classes = number % 3
    return pd.DataFrame(
        {
            "patient": [f"P{i:02}" for i in number],
            "label": np.array(CLASSES)[classes],
            "time_days": rng.exponential(1000 * np.exp(-3.0 * classes)),
            "event": (rng.random(count) < 0.7).astype(float),
            "site": [f"s{i % 6}" for i in number],
            "slide_ids": [[f"P{i:02}-1", f"P{i:02}-2"][: 1 + (i % 3 == 0)] for i in number],
        }
    )


@dataclass
class Planted:
    """Vectors that tell a unit's class as it was when the cohort was made, whatever its label says now."""

    truth: dict[str, int]
    name: str = "first"
    asked: list[tuple[int, int]] = field(default_factory=list)

    def digest(self, fold_number: int) -> str:
        return f"{self.name}-{fold_number}"

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        assert set(train["patient"]) <= set(fold.train)
        assert set(evaluation["patient"]) <= set(fold.val)
        self.asked.append((fold_number, seed))
        return FoldVectors(self._of(train)[None], self._of(evaluation)[None])

    def _of(self, units: pd.DataFrame) -> np.ndarray:
        noise = [np.random.default_rng(int(name[1:])).normal(size=4) for name in units["patient"]]
        return np.array(noise) * 0.2 + np.eye(4)[[self.truth[name] for name in units["patient"]]]


@dataclass
class Job:
    """A cohort on disk and where its predictions go."""

    plan: Plan
    folder: Path
    vectors: Planted

    def run(self) -> dict[str, dict[str, str]]:
        manifest = self.folder / "manifest.json"
        inner = [replace(self.vectors, name=f"inner{number}") for number in range(len(self.plan.inner_splits))]
        predict_method(self.plan, self.vectors, str(self.folder), str(manifest), "test", inner=inner)
        return json.loads(manifest.read_text())

    def rows(self, task: str, fold: int = 0) -> pd.DataFrame:
        return read_predictions(self.folder / task / f"fold{fold}.parquet").rows

    def ages(self) -> dict[str, int]:
        """When each predictions file was last written."""
        paths = sorted(self.folder.glob("*/*.parquet"))
        return {path.relative_to(self.folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def prepare(
    folder: Path,
    *,
    cohort: pd.DataFrame | None = None,
    splits: Sequence[str] | None = None,
    method: str = "linear",
    classes: list[str] | None = None,
    **changes: Any,
) -> Job:
    """Write cohort, splits and support sets as the rules before this one do."""
    frame = people() if cohort is None else cohort
    path = folder / "cohort.parquet"
    write_cohort(path, frame, CLASSES if classes is None else classes)
    if splits is None:
        splits = [str(folder / f"splits_{fold}.csv") for fold in range(FOLDS)]
        report = str(folder / "report.tsv")
        how = {"kind": "random", "folder": None, "seed": 1}
        made_once(make_splits, [str(path)], [*splits, report], str(path), splits, report, **how)
    support = str(folder / "support.tsv")
    protocol = HONEST | changes.pop("protocol", {})
    if protocol["epoch"] == "nested":
        inner = [[str(folder / f"inner{number}-splits_{k}.csv") for k in range(FOLDS)] for number in range(2)]
        files = [file for files in inner for file in files]
        made_once(make_inner_splits, [str(path), *splits], files, str(path), splits, inner, seed=1)
        changes["inner_splits"] = inner
    drawn = {"unit": protocol["unit"], "shots": [3], "bins": BINS, "seed": 1}
    made_once(draw_support, [str(path), *splits], [support], str(path), splits, support, **drawn)
    plan = Plan(
        cohort=str(path),
        splits=splits,
        support=support,
        protocol=protocol,
        tasks=["subtyping", "survival"],
        shots=[3],
        seeds=[42],
        bins=BINS,
        method=METHODS[method],
    )
    truth = dict(zip(people()["patient"], np.arange(60) % 3, strict=True))
    return Job(replace(plan, **changes), folder / "predictions", Planted(truth))


def scores(job: Job, setting: str = "all") -> tuple[float, float]:
    """Mean accuracy and C-index over folds."""
    right, ranked = [], []
    for fold in range(FOLDS):
        rows = job.rows("subtyping", fold).query("setting == @setting")
        ones = np.ones((1, len(rows)))
        truth = rows["label"].map({name: number for number, name in enumerate(CLASSES)}).to_numpy()
        right.append(accuracy(confusion(rows[[f"prob_{name}" for name in CLASSES]].to_numpy(), truth, ones))[0])
        rows = job.rows("survival", fold).query("setting == @setting")
        times, events = rows["time_days"].to_numpy(), rows["event"].to_numpy() == 1
        ranked.append(c_index(rows["risk"].to_numpy(), times, events, np.ones((1, len(rows))))[0])
    return float(np.mean(right)), float(np.mean(ranked))


# The contract.


@pytest.mark.parametrize("method", ["linear", "majority", "mirror"])
def test_predictions_are_what_the_contract_says(tmp_path, method):
    job = prepare(tmp_path, method=method)
    manifest = job.run()
    names = [f"{task}/fold{fold}.parquet" for task in ("subtyping", "survival") for fold in range(FOLDS)]
    assert sorted(manifest["written"]) == names
    assert manifest["skipped"] == {}
    here = ["setting", "seed", "fold", "patient", "slide_id"]
    assert list(job.rows("subtyping")) == [*here, "label", "prob_a", "prob_b", "prob_c"]
    assert list(job.rows("survival")) == [
        *here,
        *("time_days", "event", "risk", "surv_0", "surv_1", "surv_2", "surv_3"),
    ]
    for fold in range(FOLDS):
        val = read_fold(job.plan.splits[fold]).val
        for task in ("subtyping", "survival"):
            rows = job.rows(task, fold)
            assert set(rows["setting"]) == {"all", "3-shot"}
            assert (rows["fold"] == fold).all()
            assert (rows["slide_id"] == "").all()
            for _, part in rows.groupby("setting"):
                assert sorted(part["patient"]) == sorted(val)
        np.testing.assert_allclose(job.rows("subtyping", fold).filter(like="prob_").sum(axis=1), 1)


def test_notes_say_how_the_predictions_came_about(tmp_path):
    job = prepare(tmp_path, method="mirror", seeds=[1, 2])
    job.run()
    fold = read_fold(job.plan.splits[0])
    subtyping = read_predictions(job.folder / "subtyping" / "fold0.parquet").notes
    assert subtyping["classes"] == CLASSES
    assert subtyping["protocol"] == dict(job.plan.protocol)
    settings = {(note["setting"], note["seed"]): note for note in subtyping["settings"]}
    assert set(settings) == {("all", 1), ("all", 2), ("3-shot", 1), ("3-shot", 2)}
    assert settings["all", 1]["train_patients"] == len(fold.train)
    assert settings["all", 1]["epoch"] == PROBE["epochs"]
    assert settings["3-shot", 1]["k_real"] == 3
    assert settings["3-shot", 1]["train_patients"] == 9
    survival = read_predictions(job.folder / "survival" / "fold0.parquet").notes["settings"][0]
    assert len(survival["bin_edges_days"]) == BINS
    assert survival["bin_edges_days"][0] == 0
    assert survival["bin_ends_days"][:-1] == survival["bin_edges_days"][1:]
    followed = read_cohort(job.plan.cohort)[0].set_index("patient").loc[list(fold.train), "time_days"]
    assert survival["bin_ends_days"][-1] == followed.max()
    assert subtyping["settings"][0]["bin_ends_days"] is None


def test_several_seeds_give_the_deviation_between_trainings_in_the_results(tmp_path):
    job = prepare(tmp_path, method="mirror", seeds=[42, 43], shots=[])
    job = replace(job, folder=tmp_path / "predictions/honest/demo/phikon/mirror")
    job.run()
    metrics, results = str(tmp_path / "metrics.tsv"), str(tmp_path / "results.csv")
    settings = {"bootstrap": 10, "confidence": 0.95, "seed": 0}
    evaluate([str(job.folder / "manifest.json")], job.plan.cohort, job.plan.splits, metrics, settings)
    config = {
        "cohorts": {"demo": {"simulated": True}},
        "encoders": {},
        "protocols": {"honest": job.plan.protocol},
        "methods": {"mirror": job.plan.method},
    }
    make_results([metrics], str(RESOURCES / "published_results.csv"), str(RESOURCES / "names.tsv"), results, config)
    rows = read_numbers(results, NUMBERS).set_index("metric")
    assert (rows["seeds"] == 2).all()
    assert rows.loc[["ece", "ibs", "mean_brier"], "seed_sd"].gt(0).all()
    assert rows.loc[rows["mean"].notna(), "seed_sd"].notna().all()
    ranked: dict[int, list[float]] = {42: [], 43: []}
    for fold in range(FOLDS):
        for seed, part in job.rows("survival", fold).groupby("seed"):
            times, events = part["time_days"].to_numpy(), part["event"].to_numpy() == 1
            ranked[seed].append(c_index(part["risk"].to_numpy(), times, events, np.ones((1, len(part))))[0])
    by_seed = [np.mean(values) for values in ranked.values()]
    assert rows.loc["c_index", "seed_sd"] == pytest.approx(np.std(by_seed, ddof=1))
    assert rows.loc["c_index", "mean"] == pytest.approx(np.mean(by_seed))


def test_k_shot_settings_have_vectors_of_their_own_genes_and_say_how_many_labels_chose_them(tmp_path):
    manifests = {"all": [tmp_path / f"fold{k}.tsv" for k in range(FOLDS)]}
    manifests["3-shot"] = [tmp_path / f"few-shot-fold{k}.tsv" for k in range(FOLDS)]
    for setting, labels in (("all", 40), ("3-shot", 0)):
        for path in manifests[setting]:
            path.with_suffix(".json").write_text(json.dumps({"labels_seen": labels}))
    genes, few_shot_genes = ([str(path) for path in paths] for paths in manifests.values())
    job = prepare(tmp_path, genes=genes, few_shot_genes=few_shot_genes)
    misled = Planted(dict.fromkeys(job.vectors.truth, 0), name="few")
    manifest = tmp_path / "manifest.json"
    predict_method(job.plan, job.vectors, str(job.folder), str(manifest), "test", few_shot=misled)
    notes = read_predictions(job.folder / "subtyping" / "fold0.parquet").notes["settings"]
    assert {note["setting"]: note["gene_labels"] for note in notes} == {"all": 40, "3-shot": 0}
    assert scores(job)[0] > 0.9
    assert scores(job, "3-shot")[0] < 0.6
    written = job.ages()
    predict_method(job.plan, job.vectors, str(job.folder), str(manifest), "test", few_shot=replace(misled, name="else"))
    assert all(job.ages()[name] > age for name, age in written.items())


@pytest.mark.parametrize("method", ["linear", "mirror"])
def test_a_planted_signal_is_found(tmp_path, method):
    job = prepare(tmp_path, method=method)
    job.run()
    all_units, few = scores(job), scores(job, "3-shot")
    assert all_units[0] > 0.9
    assert all_units[1] > 0.65
    assert few[0] > 0.6


def test_slides_are_predicted_one_by_one_when_they_are_the_unit(tmp_path):
    job = prepare(tmp_path, protocol={"unit": "slide"})
    job.run()
    rows = pd.concat([job.rows("subtyping", fold).query("setting == 'all'") for fold in range(FOLDS)])
    assert sorted(rows["slide_id"]) == sorted(people()["slide_ids"].sum())
    assert (rows["slide_id"].str.slice(0, 3) == rows["patient"]).all()


def test_the_published_loss_of_the_last_batch_is_replayed_and_noted(tmp_path):
    job = prepare(tmp_path, protocol={"evaluate_all": False})
    job.run()
    note = read_predictions(job.folder / "subtyping" / "fold0.parquet").notes["settings"][0]
    rows = job.rows("subtyping").query("setting == 'all'")
    val = read_fold(job.plan.splits[0]).val
    label = dict(zip(people()["patient"], people()["label"], strict=True))
    assert len(val) == 20
    assert len(rows) == 16
    assert sorted([*rows["patient"], *note["lost_units"]]) == sorted(val)
    assert {label[patient] for patient in note["lost_units"]} == {"c"}


def test_a_small_support_set_loses_evaluation_units_by_batches_of_its_own(tmp_path):
    job = prepare(tmp_path, cohort=people(72), protocol={"evaluate_all": False})
    asked = {one.setting: one for one in FoldTasks(job.plan).fold_tasks("subtyping", 0)}
    counts = {name: (len(one.train), len(one.evaluation), len(one.lost)) for name, one in asked.items()}
    assert counts == {"all": (48, 16, 8), "3-shot": (9, 24, 0)}


def test_survival_loses_samples_of_the_last_class_also_where_some_have_no_label(tmp_path):
    frame = people().assign(time_days=5.0)
    frame.loc[frame.index % 4 == 0, "label"] = ""
    job = prepare(tmp_path, cohort=frame, protocol={"evaluate_all": False})
    job.run()
    note = read_predictions(job.folder / "survival" / "fold0.parquet").notes["settings"][0]
    label = dict(zip(frame["patient"], frame["label"], strict=True))
    assert "" in {label[patient] for patient in read_fold(job.plan.splits[0]).val}
    assert len(note["lost_units"]) == 4
    assert {label[patient] for patient in note["lost_units"]} == {"c"}


# What the auditor reads.


@pytest.mark.parametrize("unit", ["patient", "slide"])
def test_the_notes_vouch_for_whom_every_setting_was_trained_on(tmp_path, unit):
    frame = people()
    frame.loc[::7, "label"], frame.loc[3::7, "time_days"] = "", np.nan
    job = prepare(tmp_path, cohort=frame, protocol={"unit": unit})
    job.run()
    support = read_text_sheet(job.plan.support).query("replacement == 'False' and survival_bins == 'fold'")
    folds = [read_fold(path) for path in job.plan.splits]

    def audited(shift: int) -> Fits:
        fits = Fits(to_units(frame, unit), support)
        for task in job.plan.tasks:
            for number, fold in enumerate(folds):
                notes = read_predictions(job.folder / task / f"fold{(number + shift) % FOLDS}.parquet").notes
                fits.read("linear", task, number, fold, notes)
        return fits

    assert audited(shift=0).findings == []
    lines = {(line.what, line.fold): line for line in audited(shift=0).lines()}
    assert len(lines) == 2 * 2 * FOLDS
    assert all((line.patients > 0, line.of_evaluation) == (True, 0) for line in lines.values())
    assert lines["training on subtyping, 3-shot", 0].patients == 9
    # predictions of another fold's models are found out, setting by setting
    assert len(audited(shift=1).findings) == 2 * 2 * FOLDS


# Kept and computed anew.


def test_a_second_run_computes_and_rewrites_nothing(tmp_path):
    job = prepare(tmp_path)
    first = job.run()
    ages, asked = job.ages(), len(job.vectors.asked)
    assert job.run() == first
    assert job.ages() == ages
    assert len(job.vectors.asked) == asked > 0


def test_what_was_lost_or_damaged_is_made_again_and_nothing_else(tmp_path):
    job = prepare(tmp_path)
    job.run()
    before, ages = job.rows("survival", 1), job.ages()
    gone, torn = job.folder / "survival" / "fold1.parquet", job.folder / "subtyping" / "fold2.parquet"
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:100])
    (job.folder / "manifest.json").unlink()
    job.run()
    changed = {name for name, age in job.ages().items() if age != ages[name]}
    assert changed == {"survival/fold1.parquet", "subtyping/fold2.parquet"}
    pd.testing.assert_frame_equal(job.rows("survival", 1), before)


def test_a_file_that_was_edited_is_made_again_and_not_vouched_for(tmp_path):
    job = prepare(tmp_path)
    first, before = job.run(), job.rows("survival", 1)
    path = job.folder / "survival" / "fold1.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("risk"), "risk", pa.array([0.0] * len(table))), path)
    assert content_digest(path) != first["checksums"]["survival/fold1.parquet"]
    assert job.run() == first
    pd.testing.assert_frame_equal(job.rows("survival", 1), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": HONEST | {"survival_bins": "cohort"}},
        {"method": LINEAR | {"C": 1.0}},
        {"seeds": [42, 43]},
        {"shots": []},
    ],
)
def test_a_changed_plan_is_computed_anew(tmp_path, changes):
    job = prepare(tmp_path)
    job.run()
    ages = job.ages()
    again = replace(job, plan=replace(job.plan, **changes))
    again.run()
    assert all(age != ages[name] for name, age in again.ages().items())


def test_changed_vectors_and_a_new_version_are_computed_anew(tmp_path, monkeypatch):
    job = prepare(tmp_path)
    job.run()
    ages = job.ages()
    job.vectors.name = "second"
    job.run()
    later = job.ages()
    assert all(age != ages[name] for name, age in later.items())
    monkeypatch.setattr(versions, "BASELINES", versions.BASELINES + 1)
    job.run()
    assert all(age != later[name] for name, age in job.ages().items())


def test_a_changed_split_touches_its_own_fold_alone(tmp_path):
    job = prepare(tmp_path)
    job.run()
    ages = job.ages()
    fold = read_fold(job.plan.splits[1])
    write_fold(job.plan.splits[1], Fold(fold.train[1:], fold.val))
    job.run()
    changed = {name for name, age in job.ages().items() if age != ages[name]}
    assert changed == {"subtyping/fold1.parquet", "survival/fold1.parquet"}


def test_folds_and_tasks_that_are_gone_leave_no_predictions(tmp_path):
    job = prepare(tmp_path)
    job.run()
    fewer = replace(job, plan=replace(job.plan, splits=job.plan.splits[:2], tasks=["subtyping"]))
    fewer.run()
    assert set(fewer.ages()) == {"subtyping/fold0.parquet", "subtyping/fold1.parquet"}


# What cannot be answered.


def test_survival_without_outcomes_is_skipped_with_the_reason_and_subtyping_computed(tmp_path, caplog):
    job = prepare(tmp_path, cohort=people().assign(time_days=np.nan, event=np.nan))
    with caplog.at_level(logging.WARNING):
        manifest = job.run()
    assert sorted(manifest["written"]) == [f"subtyping/fold{fold}.parquet" for fold in range(FOLDS)]
    assert set(manifest["skipped"]) == {f"survival/fold{fold}.parquet" for fold in range(FOLDS)}
    assert "0 training and 0 evaluation units" in manifest["skipped"]["survival/fold0.parquet"]
    assert "survival/fold0.parquet is left out" in caplog.text
    assert not list(job.folder.glob("survival/*.parquet"))


def test_survival_without_events_and_subtyping_without_labels_say_so(tmp_path):
    job = prepare(tmp_path, cohort=people().assign(event=0.0, label=""), classes=[])
    manifest = job.run()
    assert manifest["written"] == {}
    assert "no event among the training patients" in manifest["skipped"]["survival/fold0.parquet"]
    assert "the cohort has no labels" in manifest["skipped"]["subtyping/fold0.parquet"]


def test_outcomes_that_vanish_take_their_predictions_along(tmp_path):
    job = prepare(tmp_path)
    job.run()
    write_cohort(job.plan.cohort, people().assign(time_days=np.nan, event=np.nan), CLASSES)
    job.run()
    assert not list(job.folder.glob("survival/*.parquet"))


def test_a_support_set_without_an_event_is_left_out_alone_and_remembered(tmp_path):
    job = prepare(tmp_path, method="cox", tasks=["survival"])
    support = pd.read_csv(job.plan.support, sep="\t")
    censored = people().set_index("patient")["event"] == 0
    support = support[(support["task"] != "survival") | support["patient"].map(censored)]
    support.to_csv(job.plan.support, sep="\t", index=False)
    first = job.run()
    assert len(first["written"]) == FOLDS
    assert set(job.rows("survival")["setting"]) == {"all"}
    left_out = {name for name in first["skipped"] if name.startswith("survival/fold0")}
    assert left_out == {"survival/fold0.parquet, 3-shot, seed 42"}
    assert "Cox cannot be fitted" in first["skipped"]["survival/fold0.parquet, 3-shot, seed 42"]
    ages = job.ages()
    assert job.run() == first
    assert job.ages() == ages


def test_a_head_learns_no_survival_of_censored_patients_alone(tmp_path, monkeypatch):
    """Nor keeps what a version before left of it."""
    job = prepare(tmp_path, method="mirror", tasks=["survival"])
    support = pd.read_csv(job.plan.support, sep="\t")
    censored = people().set_index("patient")["event"] == 0
    support = support[(support["task"] != "survival") | support["patient"].map(censored)]
    support.to_csv(job.plan.support, sep="\t", index=False)
    with monkeypatch.context() as before:
        before.setattr(predict, "unfit_for", lambda fold_task, method: "")
        assert job.run()["skipped"] == {}
    manifest = job.run()
    assert set(manifest["skipped"]) == {f"survival/fold{fold}.parquet, 3-shot, seed 42" for fold in range(FOLDS)}
    assert "no event among the" in manifest["skipped"]["survival/fold0.parquet, 3-shot, seed 42"]
    assert set(job.rows("survival")["setting"]) == {"all"}
    ages = job.ages()
    assert job.run() == manifest
    assert job.ages() == ages


def test_nor_of_a_whole_fold_where_the_bins_are_those_of_the_cohort(tmp_path):
    folds = [[f"P{i:02}" for i in range(fold, 60, FOLDS)] for fold in range(FOLDS)]
    dead = people().assign(event=people()["patient"].isin(folds[0]).astype(float))
    splits = [str(tmp_path / f"own_{fold}.csv") for fold in range(FOLDS)]
    for fold, path in enumerate(splits):
        train = [name for names in folds for name in names if name not in folds[fold]]
        write_fold(path, Fold(train, folds[fold]))
    asked = {"tasks": ["survival"], "shots": [], "protocol": {"survival_bins": "cohort"}}
    job = prepare(tmp_path, cohort=dead, splits=splits, method="mirror", **asked)
    manifest = job.run()
    assert sorted(manifest["written"]) == ["survival/fold1.parquet", "survival/fold2.parquet"]
    assert "no event among the 40 training units" in manifest["skipped"]["survival/fold0.parquet, all, seed 42"]


def test_vectors_that_cannot_be_had_stop_the_job(tmp_path):
    job = prepare(tmp_path)

    def broken(*_: Any) -> FoldVectors:
        message = "features.h5: not readable"
        raise InputError(message)

    job.vectors.vectors = broken
    with pytest.raises(InputError, match="not readable"):
        job.run()
    assert not (job.folder / "manifest.json").exists()


# Leaks.


def permuted(cohort: pd.DataFrame, patients: Sequence[str]) -> pd.DataFrame:
    """The cohort with labels and outcomes of ``patients`` permuted among them."""
    changed, rows = cohort.copy(), cohort.index[cohort["patient"].isin(patients)]
    rng = np.random.default_rng(5)
    for columns in (["label"], ["time_days", "event"]):
        order = rng.permutation(rows)
        changed.loc[rows, columns] = cohort.loc[order, columns].to_numpy()
    assert (changed["label"] != cohort["label"]).sum() > 5
    assert (changed["time_days"] != cohort["time_days"]).sum() > 5
    return changed


def predicted(job: Job, task: str) -> np.ndarray:
    rows = job.rows(task).sort_values(["setting", "seed", "patient"])
    return rows.filter(regex="^(prob_|surv_|risk)").to_numpy()


def of_fold_0(job: Job) -> Job:
    """The job without its other folds."""
    inner = [splits[:1] for splits in job.plan.inner_splits]
    return replace(job, plan=replace(job.plan, splits=job.plan.splits[:1], inner_splits=inner))


def differs(tmp_path: Path, method: str, **protocol: Any) -> dict[str, bool]:
    """Whether predictions of fold 0 change when its evaluation patients' labels and outcomes do."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    tasks = ["survival"] if method == "cox" else ["subtyping", "survival"]
    one = prepare(tmp_path / "one", method=method, protocol=protocol, tasks=tasks)
    of_fold_0(one).run()
    changed = permuted(people(), read_fold(one.plan.splits[0]).val)
    two = prepare(
        tmp_path / "two", cohort=changed, splits=one.plan.splits, method=method, protocol=protocol, tasks=tasks
    )
    of_fold_0(two).run()
    return {task: not np.array_equal(predicted(one, task), predicted(two, task)) for task in tasks}


@pytest.mark.parametrize("unit", ["patient", "slide"])
@pytest.mark.parametrize("method", METHODS)
def test_under_honest_keys_evaluation_labels_and_outcomes_change_no_prediction(tmp_path, method, unit):
    assert not any(differs(tmp_path, method, unit=unit).values())


@pytest.mark.parametrize("unit", ["patient", "slide"])
@pytest.mark.parametrize("method", METHODS)
def test_nor_under_a_nested_choice_of_the_epoch(tmp_path, method, unit):
    assert not any(differs(tmp_path, method, unit=unit, epoch="nested").values())


def test_a_nested_choice_finds_the_planted_signal(tmp_path):
    job = prepare(tmp_path, method="mirror", protocol={"epoch": "nested"})
    job.run()
    assert scores(job)[0] > 0.9
    (note, shot) = read_predictions(job.folder / "subtyping" / "fold0.parquet").notes["settings"]
    assert note["epoch"] == note["epoch_choice"]["epoch"]
    assert len(note["epoch_choice"]["mean"]) == shot["epoch"] == PROBE["epochs"]


def test_the_published_choice_of_the_epoch_does_let_them_in(tmp_path):
    assert any(differs(tmp_path, "mirror", epoch="best_on_evaluation").values())


def test_the_published_survival_bins_do_let_them_in(tmp_path):
    job = prepare(tmp_path, protocol={"survival_bins": "cohort"})
    job.run()
    note = read_predictions(job.folder / "survival" / "fold0.parquet").notes["settings"][0]
    longer = people()
    longer.loc[longer["patient"].isin(read_fold(job.plan.splits[0]).val), "time_days"] *= 50
    write_cohort(job.plan.cohort, longer, CLASSES)
    job.run()
    again = read_predictions(job.folder / "survival" / "fold0.parquet").notes["settings"][0]
    assert note["bin_edges_days"] != again["bin_edges_days"]


def test_predictions_note_what_was_seen(tmp_path):
    job = prepare(tmp_path, shots=[])
    job.vectors.seen = lambda fold: {"features_digest": f"features of {fold}", "expression_digest": "rna"}
    job.run()
    notes = read_predictions(job.folder / "subtyping/fold1.parquet").notes
    assert (notes["features_digest"], notes["expression_digest"]) == ("features of 1", "rna")
