"""Folds of a network side by side: the bits of one after the other, failures alone, kills that cost one fold."""

import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.numpy import load_file

from labelled_cohort import Store
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.learners import network as learner
from mirrorflow.learners.inputs import bagged
from mirrorflow.learners.inputs.bagged import BaggedInputs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.tasks import ModelPlace, Plan
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.steps.training import train_supervised as step
from mirrorflow.store.predictions import read_predictions

FOLDS = 5
TWO = Cores(processes=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def plan_of(store: Store, name: str, **changes: object) -> Plan:
    """Models go to a folder of that name."""
    place = ModelPlace(str(store.folder / name), "brca", "uni", "abmil", keep="all")
    return store.plan("abmil", saved=place, **changes)


def five_folds(store: Store, plan: Plan) -> Plan:
    """All data alone, on five folds, of one task."""
    splits = [str(store.folder / f"five_{fold}.csv") for fold in range(FOLDS)]
    make_splits(plan.cohort, splits, str(store.folder / "five.tsv"), kind="random", folder=None, seed=1)
    return replace(plan, splits=splits, shots=[], support="", tasks=["subtyping"])


def inputs_of(store: Store) -> BaggedInputs:
    return store.inputs(genes=[str(store.folder / f"genes{fold % 2}.tsv") for fold in range(FOLDS)])


def predicted(store: Store, plan: Plan, cores: Cores, inputs=None) -> Path:
    folder = Path(plan.saved.results) / "predictions"
    inputs = inputs or inputs_of(store)
    predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test", cores=cores)
    return folder


def test_side_by_side_they_have_the_bits_of_one_after_the_other(store):
    one, two = (
        predicted(store, plan_of(store, name, shots=[]), cores) for name, cores in (("one", ONE_BY_ONE), ("two", TWO))
    )
    tables = sorted(path.relative_to(one) for path in one.glob("*/*.parquet"))
    assert len(tables) == 4
    for table in tables:
        assert read_predictions(one / table).rows.equals(read_predictions(two / table).rows)
    models = sorted(path.relative_to(one.parent) for path in one.parent.rglob("model.safetensors"))
    assert len(models) == 4
    for model in models:
        mine, other = (load_file(folder.parent / model) for folder in (one, two))
        assert all((mine[name] == other[name]).all() for name in mine | other)
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (one, two))
    assert {key: first[key] for key in ("written", "skipped")} == {key: second[key] for key in ("written", "skipped")}


@pytest.mark.parametrize("cores", [ONE_BY_ONE, TWO])
def test_a_fold_that_fails_is_named_and_the_others_are_kept(store, monkeypatch, cores, caplog):
    caplog.set_level(logging.INFO, "mirrorflow")
    plan = five_folds(store, plan_of(store, "failing"))
    train = learner.train_supervised

    def stumbling(network, labelled, settings, hooks, *, label, device):
        if "fold 1 " in label:
            message = "P07: features hold NaN"
            raise MirrorflowError(message)
        return train(network, labelled, settings, hooks, label=label, device=device)

    monkeypatch.setattr(learner, "train_supervised", stumbling)
    with pytest.raises(MirrorflowError, match=r"^subtyping fold 1: P07: features hold NaN$"):
        predicted(store, plan, cores)
    folder = Path(plan.saved.results) / "predictions"
    ages = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    assert sorted(ages) == [f"fold{fold}.parquet" for fold in (0, 2, 3, 4)]
    monkeypatch.setattr(learner, "train_supervised", train)
    predicted(store, plan, cores)
    now = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    assert len(now) == FOLDS
    assert {name: now[name] for name in ages} == ages
    assert "4 of 5 folds kept from an earlier run" in caplog.text


@pytest.mark.parametrize("cores", [ONE_BY_ONE, TWO])
def test_a_kill_in_fold_3_keeps_folds_0_to_2(store, monkeypatch, cores):
    plan = five_folds(store, plan_of(store, "killed"))
    folder = Path(plan.saved.results) / "predictions"
    train = learner.train_supervised

    def dying(network, labelled, settings, hooks, *, label, device):
        if "fold 3 " in label:
            while len(list(folder.glob("*/fold[012].parquet"))) < 3:  # they may be under way
                pass
            os.killpg(0, signal.SIGKILL)
        return train(network, labelled, settings, hooks, label=label, device=device)

    monkeypatch.setattr(learner, "train_supervised", dying)
    job = os.fork()
    if not job:
        os.setpgid(0, 0)
        predicted(store, plan, cores)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]) == -signal.SIGKILL
    ages = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    assert {"fold0.parquet", "fold1.parquet", "fold2.parquet"} <= set(ages) < {f"fold{i}.parquet" for i in range(FOLDS)}
    monkeypatch.setattr(learner, "train_supervised", train)
    predicted(store, plan, cores)
    now = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    assert len(now) == FOLDS
    assert {name: now[name] for name in ages} == ages


def test_what_folds_share_is_read_before_they_are_forked(store):
    inputs = inputs_of(store)
    predicted(store, five_folds(store, plan_of(store, "shared")), TWO, inputs)
    assert len(inputs._bags._layouts) == len(store.frame)
    assert len(list(store.folder.rglob("*.npy"))) == sum(map(len, store.frame["slide_ids"])), "moments of each slide"


def test_torchs_compiler_is_imported_once_and_not_by_each_fork(store, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(bagged, "importlib", SimpleNamespace(import_module=asked.append))
    inputs_of(store).load()
    assert asked == ["torch._dynamo"]


def test_a_slide_that_cannot_be_read_is_left_to_the_folds_that_see_it(store):
    (store.folder / "P07-1.h5").write_bytes(b"no features")
    with pytest.raises(InputError, match=r"P07-1\.h5"):
        predicted(store, five_folds(store, plan_of(store, "broken")), TWO)


def params(**changes: object) -> step.Params:
    known = {
        "protocol": {},
        "tasks": ["subtyping", "survival"],
        "shots": [],
        "seeds": [1],
        "bins": 4,
        "method": "abmil",
    }
    return step.Params(**known, settings={}, rna=None, planned={}, **changes)


def test_a_job_shares_its_threads_and_its_memory_out_on_a_cpu_alone(monkeypatch):
    job = Job("train_supervised", 8, {"mem_mb": 12000})
    assert step.cores_of(params(), job, folds=5) == Cores(8, 12000.0)
    assert step.cores_of(params(), replace(job, threads=1), folds=5).processes == 1
    monkeypatch.setattr("mirrorflow.steps.training.side_by_side.kind_of", lambda device: "cuda")
    assert step.cores_of(params(), job, folds=5) == ONE_BY_ONE
