"""Inputs of the supervised methods, and a whole job on them: what is fitted, kept, skipped and named."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from labelled_cohort import CLASSES, Store
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.errors import InputError
from mirrorflow.evaluation import training_outcomes
from mirrorflow.learners import nested_epoch, predict
from mirrorflow.learners import network as supervised
from mirrorflow.learners.curves import best_epoch
from mirrorflow.learners.inputs.bagged import BaggedInputs, match_sets, random_sets
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.learners.network import train_and_predict
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.learners.tasks import FoldTasks, ModelPlace
from mirrorflow.metrics import c_index
from mirrorflow.probes.task import EpochRule, SubtypePrediction
from mirrorflow.steps.cohort.make_inner_splits import make_inner_splits
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.store.digest import patients_digest
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_fold, read_numbers, write_cohort, write_sheet
from mirrorflow.tables.results import NUMBERS

FOLD = Fold(("P00", "P01", "P02"), ("P03",))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def of_fold(inputs: BaggedInputs, fold: Fold = FOLD) -> Any:
    units = inputs.units
    parts = [units[units["patient"].isin(side)] for side in (fold.train, fold.val)]
    return inputs.vectors(fold, 0, 42, *parts)


# Inputs.


def test_a_patients_slides_are_one_bag_and_genes_come_in_the_manifests_order(store):
    made = of_fold(store.inputs(rna_scaling="none"))
    slides = [h5py.File(store.folder / f"P00-{i}.h5")["features"][:] for i in (1, 2)]
    np.testing.assert_array_equal(made.train.bags[0], np.concatenate(slides))
    assert made.patch_dim == 5
    assert made.gene_sets == ()
    values = pd.read_parquet(store.folder / "rna.parquet").set_index("id").loc[["t3", "t0", "t1"], "P00"]
    np.testing.assert_array_equal(made.train.genes[0], values)


def test_scaling_is_that_of_the_training_patients(store):
    made = of_fold(store.inputs())
    patches = np.concatenate([made.train.bags[i] for i in range(3)])
    np.testing.assert_allclose(made.moments[0], patches.mean(0), atol=1e-5)
    np.testing.assert_allclose(made.moments[1], patches.std(0), atol=1e-5)
    np.testing.assert_allclose(made.train.genes.mean(0), 0, atol=1e-6)
    assert of_fold(store.inputs(feature_scaling="none")).moments is None


def test_bags_and_clinical_columns_say_on_whom_their_scalers_were_fitted(store):
    all_units = patients_digest(FOLD.train)
    assert of_fold(store.inputs()).fitted == {"RNA scaler": all_units, "patch scaler": all_units}
    assert of_fold(store.inputs(rna_scaling="none")).fitted == {"patch scaler": all_units}
    assert of_fold(store.inputs(feature_scaling="none")).fitted == {"RNA scaler": all_units}
    columns = ClinicalColumns(store.inputs().units, ["age"])
    assert of_fold(columns).fitted == {"covariate encoder": all_units}


def test_methods_without_expression_read_none(store):
    made = of_fold(store.inputs(inputs=["slides"], expression="nowhere", genes=[]))
    assert made.train.genes.shape == (3, 0)


def test_pathway_genes_come_from_the_whole_matrix_with_all_their_transcripts(store):
    made = of_fold(store.inputs(gene_sets=str(store.folder / "sets.csv"), rna_scaling="none"))
    values = pd.read_parquet(store.folder / "rna.parquet").set_index("id")["P00"]
    for members, ids in zip(made.gene_sets, [["t1", "t2"], ["t3", "t1", "t2"]], strict=True):
        np.testing.assert_array_equal(made.train.genes[0][list(members)], values[ids])


def test_sets_without_a_gene_of_the_matrix_are_an_error_that_shows_the_file():
    with pytest.raises(InputError, match=r"sets.csv: none of its 1 sets has a gene"):
        match_sets({"ONE": ["ENSG1"]}, ["t1"], ["G1"], "sets.csv")


def test_random_sets_hold_every_gene_once():
    for genes in (1, 7, 120):
        dealt = random_sets(genes)
        assert sorted(gene for group in dealt for gene in group) == list(range(genes))
        assert len(dealt) == min(50, genes)
    assert random_sets(120) == random_sets(120)


def test_the_digest_follows_what_is_used(store):
    digests = {
        store.inputs().digest(0),
        store.inputs(feature_scaling="none").digest(0),
        store.inputs(inputs=["slides"]).digest(0),
        store.inputs(gene_sets="random").digest(0),
        store.inputs(gene_sets=str(store.folder / "sets.csv")).digest(0),
    }
    assert len(digests) == 5
    sets, before = store.inputs(gene_sets=str(store.folder / "sets.csv")), store.inputs().digest(0)
    with_sets = sets.digest(0)
    write_sheet(store.folder / "genes0.tsv", pd.DataFrame({"id": ["t3"], "gene": ["G3"]}))
    assert store.inputs().digest(0) != before
    assert sets.digest(0) == with_sets


# The job.


@pytest.mark.parametrize("family", NETWORKS)
def test_predictions_are_what_the_contract_says(store, family):
    sets = "random" if "gene_sets" in METHODS[family].settings else None
    inputs = store.inputs(inputs=METHODS[family].inputs, gene_sets=sets)
    plan = store.plan(family)
    folder = store.predict(plan, inputs)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["skipped"] == {}
    for task in ("subtyping", "survival"):
        for fold in range(2):
            made = read_predictions(folder / task / f"fold{fold}.parquet")
            assert set(made.rows["setting"]) == {"all", "3-shot"}
            assert sorted(made.rows.query("setting == 'all'")["patient"]) == sorted(read_fold(plan.splits[fold]).val)
            assert [note["epoch"] for note in made.notes["settings"]] == [2, 2]
            numbers = made.rows.filter(regex="prob_|risk|surv_")
            assert np.isfinite(numbers.to_numpy()).all()
            assert numbers.shape[1] == (3 if task == "subtyping" else 5)


def test_several_seeds_are_trainings_of_their_own_and_give_their_deviation(store):
    folder = store.predict(
        store.plan("abmil", seeds=[42, 43], shots=[]), store.inputs(), "predictions/honest/demo/phikon/abmil"
    )
    sheet, splits = store.folder / "metrics.tsv", [str(store.folder / f"splits_{fold}.csv") for fold in range(2)]
    settings = {"bootstrap": 0, "confidence": 0.95, "seed": 0}
    evaluate([str(folder / "manifest.json")], str(store.folder / "cohort.parquet"), splits, str(sheet), settings)
    cells = read_numbers(sheet, NUMBERS).set_index("metric")
    assert (cells["seeds"] == 2).all()
    assert cells.loc[cells["mean"].notna(), "seed_sd"].notna().all()
    assert cells.loc[["ece", "ibs"], "seed_sd"].gt(0).all()


def test_a_job_goes_on_where_it_stopped_and_gives_the_same(store):
    plan, inputs = store.plan("abmil", tasks=["subtyping"]), store.inputs(inputs=["slides"])
    folder = store.predict(plan, inputs)
    kept, lost = (folder / f"subtyping/fold{fold}.parquet" for fold in range(2))
    before, age = pd.read_parquet(lost), kept.stat().st_mtime_ns
    lost.unlink()
    store.predict(plan, store.inputs(inputs=["slides"]))
    pd.testing.assert_frame_equal(pd.read_parquet(lost), before, check_exact=True)
    assert kept.stat().st_mtime_ns == age


def test_the_best_epoch_is_chosen_on_evaluation_units_only_when_asked(store):
    inputs = store.inputs(inputs=["slides"])
    plan = store.plan("abmil", tasks=["subtyping"], shots=[])
    best = replace(plan, protocol=plan.protocol | {"epoch": "best_on_evaluation"})
    notes = [
        read_predictions(store.predict(p, inputs, n) / "subtyping/fold0.parquet") for p, n in ((plan, "l"), (best, "b"))
    ]
    right = [
        (made.rows.filter(like="prob_").to_numpy().argmax(1) == made.rows["label"].map(CLASSES.index)).mean()
        for made in notes
    ]
    assert right[1] >= right[0]
    assert notes[1].notes["settings"][0]["epoch"] in (1, 2)


def nested(store: Store, family: str, **changes: Any) -> tuple[Plan, BaggedInputs, list[BaggedInputs]]:
    """A plan with two inner folds, whose genes are others than those of the fold."""
    plan = store.plan(family, **changes)
    inner_splits = [[str(store.folder / f"inner{j}-splits_{k}.csv") for k in range(2)] for j in range(2)]
    make_inner_splits(plan.cohort, plan.splits, inner_splits, seed=1)
    write_sheet(store.folder / "inner.tsv", pd.DataFrame({"id": ["t1", "t2"], "gene": ["G2", "G2"]}))
    inputs = store.inputs(inputs=METHODS[family].inputs)
    inner = [inputs.with_genes([str(store.folder / "inner.tsv")] * 2) for _ in inner_splits]
    return replace(plan, protocol=plan.protocol | {"epoch": "nested"}, inner_splits=inner_splits), inputs, inner


@pytest.mark.parametrize("family", ["abmil", "porpoise"])
def test_a_nested_choice_reports_that_epoch_of_a_training_on_the_whole_fold(store, family):
    plan, inputs, inner = nested(store, family, tasks=["subtyping"], shots=[])
    plan.method["train"]["epochs"] = 4
    folder = store.folder / "nested"
    predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test", inner=inner)
    made = read_predictions(folder / "subtyping/fold0.parquet")
    (note,) = made.notes["settings"]
    assert note["epoch"] == best_epoch(note["epoch_choice"]["mean"])
    asked = FoldTasks(plan)
    (fold_task,) = asked.fold_tasks("subtyping", 0)
    bags = inputs.vectors(asked.folds[0], 0, 42, fold_task.train.units, fold_task.evaluation.units)
    whole = []

    def keep(prediction: SubtypePrediction) -> float:
        whole.append(prediction.probabilities)
        return 0.0

    train_and_predict(bags, fold_task, plan.method, EpochRule(scorer=keep))
    assert len(whole) == 4
    reported = made.rows.set_index("patient").loc[fold_task.evaluation.units["patient"]].filter(like="prob_")
    np.testing.assert_array_equal(reported, whole[note["epoch"] - 1])


class KilledError(BaseException):
    """Stands for SIGKILL once the outer training has begun."""


def test_a_killed_training_goes_on_with_the_epoch_that_was_chosen_for_it(store, monkeypatch):
    """Inner folds are the most of a fold's work; and on a GPU a second choice may be another."""
    plan, inputs, inner = nested(store, "abmil", tasks=["subtyping"], shots=[])
    plan.method["train"]["epochs"] = 4
    undisturbed, plan = (
        replace(plan, saved=ModelPlace(str(store.folder / name), "brca", "uni", "abmil"))
        for name in ("undisturbed", "results")
    )
    chosen, choose = [], predict.choose_epoch
    monkeypatch.setattr(predict, "choose_epoch", lambda *given: chosen.append(given[1].fold) or choose(*given))

    def rows(plan: Plan, name: str) -> pd.DataFrame:
        folder = store.folder / name
        predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test", inner=inner)
        return pd.concat(read_predictions(folder / f"subtyping/fold{k}.parquet").rows for k in range(2))

    def dying(*_: Any, **__: Any) -> None:
        raise KilledError

    expected = rows(undisturbed, "undisturbed-predictions")
    assert chosen == [0, 1]
    with monkeypatch.context() as killed:
        killed.setattr(predict, "_epoch_rule", dying)
        with pytest.raises(KilledError):
            rows(plan, "predictions")
    (left,) = (store.folder / "results").rglob(nested_epoch.FILE)
    assert rows(plan, "predictions").equals(expected)
    assert chosen == [0, 1, 0, 1], "fold 0 has its choice from the first attempt"
    assert not left.exists()

    with monkeypatch.context() as killed:
        killed.setattr(predict, "_epoch_rule", dying)
        other = replace(plan, method={**plan.method, "train": {**plan.method["train"], "learning_rate": 3e-3}})
        with pytest.raises(KilledError):
            rows(other, "predictions")
    assert rows(plan, "predictions").equals(expected)
    assert chosen == [0, 1, 0, 1, 0], "a choice for another training is none"


def test_an_inner_folds_patches_are_scaled_by_its_own_training_part(store):
    plan, inputs, (inner, _) = nested(store, "abmil")
    outer = read_fold(plan.splits[0])
    part = read_fold(plan.inner_splits[0][0])
    units = inputs.units
    for fold in (outer, part):
        given = inner.vectors(fold, 0, 42, *(units[units["patient"].isin(side)] for side in (fold.train, fold.val)))
        patches = np.concatenate([given.train.bags[i] for i in range(len(given.train))])
        np.testing.assert_allclose(given.moments[0], patches.mean(0), atol=1e-5)


def test_min_steps_count_by_the_whole_training_fold(store, monkeypatch):
    plan, inputs, inner = nested(store, "abmil", tasks=["subtyping"], shots=[])
    plan.method["train"] |= {"epochs": 2, "batch_size": 4, "min_steps": 16}
    folder = store.folder / "nested"
    with passes_of_trainings(monkeypatch) as passes:
        predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test", inner=inner)
    (note,) = read_predictions(folder / "subtyping/fold0.parquet").notes["settings"]
    assert len(note["epoch_choice"]["mean"]) == 2
    assert set(passes.values()) == {2}  # 15 units, 4 steps a pass; inner parts alone would need more
    assert len(passes) > 1


def test_evaluation_labels_and_outcomes_decide_nothing(store):
    plan, inputs = store.plan("porpoise", shots=[]), store.inputs()
    before = store.predict(plan, inputs)
    rows = store.frame["patient"].isin(read_fold(plan.splits[0]).val)
    changed = store.frame.copy()
    for columns in (["label"], ["time_days", "event"]):
        order = np.random.default_rng(3).permutation(changed.index[rows])
        changed.loc[rows, columns] = store.frame.loc[order, columns].to_numpy()
    write_cohort(store.folder / "cohort.parquet", changed, CLASSES)
    after = store.predict(plan, inputs, "after")
    for task in ("subtyping", "survival"):
        one, other = (
            read_predictions(folder / task / "fold0.parquet").rows.set_index("patient").filter(regex="prob_|risk|surv_")
            for folder in (before, after)
        )
        pd.testing.assert_frame_equal(one.sort_index(), other.sort_index(), check_exact=True)


def clinical_scores(store: Store, name: str = "predictions") -> tuple[float, float]:
    """Accuracy and C-index over the folds of what age alone predicts."""
    folder = store.predict(store.plan("clinical"), ClinicalColumns(to_units(store.frame, "patient"), ["age"]), name)
    right, ranked = [], []
    for fold in range(2):
        rows = read_predictions(folder / "subtyping" / f"fold{fold}.parquet").rows.query("setting == 'all'")
        right.append((rows.filter(like="prob_").to_numpy().argmax(1) == rows["label"].map(CLASSES.index)).mean())
        rows = read_predictions(folder / "survival" / f"fold{fold}.parquet").rows.query("setting == 'all'")
        times, events = rows["time_days"].to_numpy(), rows["event"].to_numpy() == 1
        ranked.append(c_index(rows["risk"].to_numpy(), times, events, np.ones((1, len(rows))))[0])
    return float(np.mean(right)), float(np.mean(ranked))


def test_clinical_columns_predict_both_tasks_and_shuffled_ones_neither(store):
    right, ranked = clinical_scores(store)
    assert right > 0.9
    assert ranked > 0.7
    truth, found = store.frame["age"].to_numpy(), []
    for seed in range(4):
        store.frame["age"] = np.random.default_rng(seed).permutation(truth)
        write_cohort(store.folder / "cohort.parquet", store.frame, CLASSES)
        found.append(clinical_scores(store, f"shuffled{seed}"))
    assert np.mean(found, axis=0) == pytest.approx([1 / 3, 1 / 2], abs=0.15)


def test_the_last_bin_of_a_k_shot_curve_ends_where_evaluation_has_it(store):
    """At the longest time of all of the fold's training patients, whoever is in the support set."""
    plan = store.plan("majority", tasks=["survival"], splits=store.plan("majority").splits[:1])
    all_units, few = FoldTasks(plan).fold_tasks("survival", 0)
    longest = training_outcomes(store.frame, read_fold(plan.splits[0]).train)["time_days"].max()
    assert few.train.time_days.max() < longest
    np.testing.assert_array_equal(few.bin_ends, all_units.bin_ends)
    assert few.bin_ends[-1] == longest
    assert few.bin_ends[:-1].tolist() == few.edges[1:-1].tolist()


def test_min_steps_give_a_support_set_more_passes_and_the_whole_fold_none(store, monkeypatch):
    plan, inputs = store.plan("abmil", tasks=["subtyping"]), store.inputs(inputs=["slides"])
    plan.method["train"] |= {"epochs": 2, "batch_size": 4, "min_steps": 8}
    with passes_of_trainings(monkeypatch) as passes:
        notes = read_predictions(store.predict(plan, inputs) / "subtyping/fold0.parquet").notes["settings"]
    assert [(note["train_units"], note["epoch"]) for note in notes] == [(15, 2), (9, 2)]
    # 15 units, 4 steps a pass: 8 steps in 2 epochs; 9 units of the 3-shot set: 3 steps a pass.
    assert passes == {15: 1, 9: 2}


@contextmanager
def passes_of_trainings(monkeypatch):
    """How often an epoch goes over its units, by the number of these, of every training meanwhile."""
    whole, passes = supervised.train_supervised, {}

    def listening(network, labelled, settings, *arguments, **further):
        passes[len(labelled.units)] = settings.passes_for(len(labelled.units))
        return whole(network, labelled, settings, *arguments, **further)

    with monkeypatch.context() as patched:
        patched.setattr(supervised, "train_supervised", listening)
        yield passes


def test_without_clinical_columns_everything_is_skipped_with_the_reason(store):
    plan = store.plan("clinical", method={**METHODS["clinical"].defaults, "family": "clinical", "columns": ["sex"]})
    folder = store.predict(plan, ClinicalColumns(to_units(store.frame, "patient"), ["sex"]))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["written"] == {}
    assert manifest["skipped"]
    for reason in manifest["skipped"].values():
        assert re.match("none of the columns sex is known in this cohort, which has site, age;", reason)
