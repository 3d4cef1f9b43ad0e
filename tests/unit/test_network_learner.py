"""A network on a fold: resumed after a kill, Cox instead of hazards, RNA alone, CLAM by its entry."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from labelled_cohort import Store
from mirrorflow.errors import MirrorflowError
from mirrorflow.learners import network as learner
from mirrorflow.learners import predict
from mirrorflow.learners.epochs import FILE, read_epochs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.registry import unfit_for
from mirrorflow.learners.saved import load_trained
from mirrorflow.learners.tasks import FoldTask, ModelPlace, Plan
from mirrorflow.metrics import c_index
from mirrorflow.probes.task import Targets
from mirrorflow.runtime.folder_lock import LOCK
from mirrorflow.store.model_files import CHECKPOINT
from mirrorflow.store.predictions import read_predictions


@pytest.fixture(autouse=True)
def _every_epoch_is_kept(monkeypatch):
    """As after five seconds each."""
    monkeypatch.setattr("mirrorflow.training.keeping.EVERY_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def plan_of(store: Store, family: str, *, tasks: list[str], **train: object) -> Plan:
    """All data, one task, epochs enough to be stopped in between; models are kept."""
    plan = store.plan(
        family, tasks=tasks, shots=[], saved=ModelPlace(str(store.folder / "results"), "brca", "uni", family)
    )
    return replace(plan, method={**plan.method, "train": {**plan.method["train"], "epochs": 4, **train}})


def predicted(store: Store, plan: Plan, name: str, inputs=None) -> pd.DataFrame:
    folder = store.folder / name
    predict_method(plan, inputs or store.inputs(), str(folder), str(folder / "manifest.json"), "test")
    return read_predictions(folder / plan.tasks[0] / "fold0.parquet").rows


class KilledError(BaseException):
    """Stands for SIGKILL between two epochs."""


def killed_after_two_epochs(monkeypatch) -> list[int]:
    """Kill the first training once its second checkpoint is written; the epochs that are."""
    save, saved = learner.save_checkpoint, []

    def dying(folder, state, made_from):
        save(folder, state, made_from)
        saved.append(state.epoch)
        if len(saved) == 2:
            raise KilledError

    monkeypatch.setattr(learner, "save_checkpoint", dying)
    return saved


def test_a_killed_training_goes_on_and_predicts_as_if_nothing_had_happened(store, monkeypatch):
    plan = plan_of(store, "abmil", tasks=["subtyping"])
    elsewhere = replace(plan, saved=replace(plan.saved, results=str(store.folder / "undisturbed")))
    expected = predicted(store, elsewhere, "undisturbed-predictions")
    saved = killed_after_two_epochs(monkeypatch)
    with pytest.raises(KilledError):
        predicted(store, plan, "predictions")
    (left,) = (store.folder / "results").rglob(CHECKPOINT)
    assert predicted(store, plan, "predictions").equals(expected)
    assert saved[:3] == [1, 2, 3], "the second attempt began with the third epoch"
    assert not left.exists()
    assert list((store.folder / "results").rglob(CHECKPOINT)) == []


def test_the_state_of_another_training_is_not_taken_up(store, monkeypatch):
    save = learner.save_checkpoint

    def dying(folder, state, made_from):
        save(folder, state, made_from)
        raise KilledError

    monkeypatch.setattr(learner, "save_checkpoint", dying)
    with pytest.raises(KilledError):
        predicted(store, plan_of(store, "abmil", tasks=["subtyping"]), "predictions")
    monkeypatch.setattr(learner, "save_checkpoint", save)
    plan = plan_of(store, "abmil", tasks=["subtyping"], learning_rate=1e-3)
    other = replace(plan, saved=replace(plan.saved, results=str(store.folder / "undisturbed")))
    assert predicted(store, plan, "predictions").equals(predicted(store, other, "undisturbed-predictions"))


def test_cox_over_batches_gives_survival_and_is_reloaded_with_its_baseline(store):
    plan = plan_of(store, "abmil", tasks=["survival"], survival="cox", ties="efron", epochs=6)
    rows = predicted(store, plan, "predictions")
    curves = rows.filter(regex="surv_").to_numpy()
    assert ((curves >= 0) & (curves <= 1)).all()
    assert (np.diff(curves, axis=1) <= 0).all()
    order = np.argsort(rows["risk"].to_numpy())
    assert (np.diff(curves[order, 1]) <= 0).all(), "one baseline: the higher risk has the lower curve"
    (folder, *_) = sorted(path.parent for path in (store.folder / "results").rglob("model.safetensors"))
    saved = load_trained(folder)
    assert {"readout.baseline.days", "readout.baseline.hazard", "readout.baseline.centre"} <= set(saved.arrays)
    history = pd.read_csv(folder / "history.csv")
    assert (history["cox"] == history["total"]).all()


def test_cox_over_batches_of_one_is_refused(store):
    with pytest.raises(MirrorflowError, match="batch_size 1: Cox's partial likelihood compares the units of a batch"):
        predicted(store, plan_of(store, "abmil", tasks=["survival"], survival="cox", batch_size=1), "predictions")


@pytest.mark.parametrize("survival", ["hazards", "cox"])
def test_a_support_set_without_an_event_is_left_out_and_its_model_is_gone(store, survival, monkeypatch):
    plan = plan_of(store, "abmil", tasks=["survival"], survival=survival)
    plan = replace(plan, shots=[3], saved=replace(plan.saved, keep="all"))
    support = pd.read_csv(plan.support, sep="\t")
    censored = store.frame.set_index("patient")["event"] == 0
    support[(support["task"] != "survival") | support["patient"].map(censored)].to_csv(
        plan.support, sep="\t", index=False
    )
    with monkeypatch.context() as before:
        before.setattr(predict, "unfit_for", lambda fold_task, method: "")
        assert set(predicted(store, plan, "predictions")["setting"]) == {"all", "3-shot"}
    assert list((store.folder / "results").rglob("*/3-shot/**/model.safetensors"))
    assert set(predicted(store, plan, "predictions")["setting"]) == {"all"}
    skipped = json.loads((store.folder / "predictions/manifest.json").read_text())["skipped"]
    assert "no event among the" in skipped["survival/fold0.parquet, 3-shot, seed 42"]
    assert not list((store.folder / "results").rglob("*/3-shot/**/model.safetensors"))


def small_task(time_days: list[float], event: list[bool]) -> FoldTask:
    units = pd.DataFrame(index=range(len(event)))
    targets = Targets(units, time_days=np.array(time_days), event=np.array(event), bins=np.zeros(len(event), int))
    return FoldTask("survival", 0, "1-shot", 42, targets, targets, [], None, None, None, [])


@pytest.mark.parametrize(
    ("time_days", "event", "by_cox", "by_hazards"),
    [
        ([1, 2, 3, 4], [False, False, False, False], False, False),
        ([1, 2, 3, 4], [False, False, False, True], False, True),
        ([4, 2, 3, 1], [True, False, False, False], False, True),
        ([1], [True], False, True),
        ([1, 2, 3, 4], [False, False, True, True], True, True),
        ([1, 2, 4, 4], [False, False, True, False], True, True),
        ([1, 2, 4, 4], [False, False, True, True], True, True),
    ],
)
def test_cox_needs_an_event_that_another_unit_lives_to_see(time_days, event, by_cox, by_hazards):
    cox, hazards = ({"family": "abmil", "train": {"survival": name}} for name in ("cox", "hazards"))
    task = small_task(time_days, event)
    assert bool(unfit_for(task, cox)) != by_cox
    assert bool(unfit_for(task, hazards)) != by_hazards
    assert unfit_for(task, {"family": "cox"}) == "", "classical methods say so themselves"


def test_a_support_set_whose_longest_lived_alone_has_an_event_teaches_cox_nothing(store):
    plan = plan_of(store, "abmil", tasks=["survival"], survival="cox")
    plan = replace(plan, shots=[3], saved=replace(plan.saved, keep="all"))
    support = pd.read_csv(plan.support, sep="\t")
    known = store.frame.set_index("patient")
    time, event = support["patient"].map(known["time_days"]), support["patient"].map(known["event"]) == 1
    of_survival = support["task"] == "survival"
    drawn = [support[key] for key in ("fold", "replacement", "survival_bins")]
    last = time.where(event & of_survival).groupby(drawn).transform("max")
    kept = ~of_survival | (time == last) | (~event & (time < last))
    support[kept].to_csv(plan.support, sep="\t", index=False)
    assert set(predicted(store, plan, "predictions")["setting"]) == {"all"}
    skipped = json.loads((store.folder / "predictions/manifest.json").read_text())["skipped"]
    reason = skipped["survival/fold0.parquet, 3-shot, seed 42"]
    assert "no event among the 3 training units has another at risk" in reason


def test_cox_and_hazards_are_different_models(store):
    cox = predicted(store, plan_of(store, "abmil", tasks=["survival"], survival="cox"), "cox")
    hazards = predicted(store, plan_of(store, "abmil", tasks=["survival"]), "hazards")
    assert not np.allclose(cox["risk"], hazards["risk"])


def test_a_network_may_see_rna_alone(store, monkeypatch):
    """PORPOISE's expression network with nothing beside it, as a method of its own would be built."""
    from torch import nn

    from mirrorflow.models.layers import SelfNormalizing
    from mirrorflow.models.seam import Output
    from mirrorflow.models.supervised import SupervisedNetwork

    class Snn(SupervisedNetwork):
        def __init__(self, sizes):
            super().__init__(sizes, 8)
            assert sizes.patch_dim == 0
            self.layers = nn.Sequential(SelfNormalizing(sizes.gene_count, 8, 0.1), nn.Linear(8, sizes.outputs))

        def output(self, batch):
            return Output(self.layers(batch.genes))

    monkeypatch.setattr(learner, "build_network", lambda family, sizes, settings, seed: Snn(sizes))
    plan = plan_of(store, "porpoise", tasks=["subtyping"])
    inputs = store.inputs(inputs=["rna"], index="")
    rows = predicted(store, plan, "predictions", inputs)
    assert np.allclose(rows.filter(regex="prob_").sum(axis=1), 1)
    assert inputs.digest(0) != store.inputs(inputs=["rna", "slides"]).digest(0)


def test_what_a_family_fits_beforehand_sees_training_patients_alone_and_is_reported_and_stored(store, monkeypatch):
    """A prototype (the mean training patch), from which distances are learned."""
    from torch import nn

    from mirrorflow.learners.inputs.bagged import OWN_FIT
    from mirrorflow.models.layers import masked_mean
    from mirrorflow.models.seam import Output
    from mirrorflow.models.supervised import SupervisedNetwork
    from mirrorflow.store.digest import patients_digest
    from mirrorflow.store.tables import read_fold

    seen: list[list[str]] = []

    def fit_inputs(train, rng):
        seen.append([train.name(number) for number in range(len(train))])
        return {"prototype": np.concatenate([train.bags[i] for i in range(len(train))]).mean(0)}

    class Prototypes(SupervisedNetwork):
        def __init__(self, sizes):
            super().__init__(sizes, 8)
            self.register_buffer("prototype", torch.zeros(sizes.patch_dim))
            self.head = nn.Linear(sizes.patch_dim, sizes.outputs)

        def output(self, batch):
            return Output(self.head(masked_mean(batch.patches - self.prototype, batch.mask)))

    monkeypatch.setattr(learner, "build_network", lambda family, sizes, settings, seed: Prototypes(sizes))
    plan = plan_of(store, "abmil", tasks=["subtyping"])
    predicted(store, plan, "predictions", replace(store.inputs(inputs=["slides"]), fit=fit_inputs))
    folds = [read_fold(path) for path in plan.splits]
    assert [sorted(names) for names in seen] == [sorted(fold.train) for fold in folds]
    for number, fold in enumerate(folds):
        (note,) = read_predictions(store.folder / f"predictions/subtyping/fold{number}.parquet").notes["settings"]
        assert note["fitted_on"][OWN_FIT] == patients_digest(fold.train)
    folders = sorted(path.parent for path in (store.folder / "results").rglob("model.safetensors"))
    stored = [load_trained(folder).arrays["network.prototype"] for folder in folders]
    assert all(np.abs(one).sum() > 0 for one in stored)
    assert not np.allclose(*stored), "each fold has its own"


def epochs_of(store: Store) -> dict[str, pd.DataFrame]:
    paths = sorted((store.folder / "results").rglob(FILE))
    return {path.parent.name: read_epochs(path.parent) for path in paths}


@pytest.mark.parametrize("survival", ["cox", "hazards"])
def test_risks_of_every_epoch_lie_beside_the_model_and_change_nothing(store, survival):
    plan = plan_of(store, "abmil", tasks=["survival"], survival=survival)
    rows = predicted(store, plan, "plain").set_index("patient")["risk"]
    assert epochs_of(store) == {}
    every = plan_of(store, "abmil", tasks=["survival"], survival=survival, every_epoch=True)
    again = predicted(store, every, "predictions").set_index("patient")["risk"]
    pd.testing.assert_series_equal(again, rows, check_exact=True)
    found = epochs_of(store)
    assert sorted(found) == ["fold0", "fold1"]
    epochs = found["fold0"]
    assert sorted(set(epochs["epoch"])) == [1, 2, 3, 4]
    last = epochs[epochs["epoch"] == 4].set_index("patient")["risk"]
    np.testing.assert_allclose(last[rows.index], rows, rtol=1e-6)


def test_the_best_of_these_epochs_is_what_choosing_on_evaluation_units_gives(store):
    plan = plan_of(store, "abmil", tasks=["survival"], every_epoch=True)
    predicted(store, plan, "predictions")
    epochs = epochs_of(store)["fold0"]
    best = replace(plan, protocol=plan.protocol | {"epoch": "best_on_evaluation"}, saved=None)
    rows = predicted(store, best, "best")
    times, events, ones = rows["time_days"].to_numpy(), rows["event"].to_numpy() == 1, np.ones((1, len(rows)))
    order = rows["patient"]
    of_each = {
        epoch: c_index(part.set_index("patient")["risk"][order].to_numpy(), times, events, ones)[0]
        for epoch, part in epochs.groupby("epoch")
    }
    assert max(of_each.values()) == c_index(rows["risk"].to_numpy(), times, events, ones)[0]


def test_a_killed_training_leaves_the_risks_of_its_epochs_and_goes_on(store, monkeypatch):
    plan = plan_of(store, "abmil", tasks=["survival"], every_epoch=True)
    elsewhere = replace(plan, saved=replace(plan.saved, results=str(store.folder / "undisturbed/results")))
    predicted(store, elsewhere, "undisturbed")
    expected = read_epochs(next(iter(sorted((store.folder / "undisturbed/results").rglob(FILE)))).parent)
    killed_after_two_epochs(monkeypatch)
    with pytest.raises(KilledError):
        predicted(store, plan, "predictions")
    assert sorted(set(epochs_of(store)["fold0"]["epoch"])) == [1, 2]
    predicted(store, plan, "predictions")
    pd.testing.assert_frame_equal(epochs_of(store)["fold0"], expected, check_exact=True)


def test_another_training_starts_its_own_epochs(store):
    predicted(store, plan_of(store, "abmil", tasks=["survival"], every_epoch=True, epochs=4), "predictions")
    predicted(store, plan_of(store, "abmil", tasks=["survival"], every_epoch=True, epochs=2), "predictions")
    assert sorted(set(epochs_of(store)["fold0"]["epoch"])) == [1, 2]


def test_two_protocols_that_share_a_model_train_it_once_and_the_other_waits(store):
    """Both at once: one trains and writes risks of its epochs, the other loads what it left."""
    plan = plan_of(store, "abmil", tasks=["survival"], every_epoch=True, epochs=8)
    plan = replace(plan, splits=plan.splits[:1])
    other = replace(plan, protocol={**plan.protocol, "few_shot_genes": "all"})
    jobs = [
        multiprocessing.get_context("fork").Process(target=predicted, args=(store, one, name))
        for one, name in ((plan, "one"), (other, "other"))
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    epochs = epochs_of(store)["fold0"]
    assert epochs["epoch"].is_monotonic_increasing
    assert set(epochs.groupby("epoch").size()) == {epochs["patient"].nunique()}
    assert sorted(set(epochs["epoch"])) == list(range(1, 9))
    rows = [read_predictions(store.folder / name / "survival/fold0.parquet").rows for name in ("one", "other")]
    assert rows[0].equals(rows[1])
    assert not list((store.folder / "results").rglob(LOCK))


def test_a_training_without_epochs_leaves_none_of_an_earlier_one(store):
    """The table of the field took them for its own."""
    predicted(store, plan_of(store, "abmil", tasks=["survival"], every_epoch=True, epochs=4), "predictions")
    predicted(store, plan_of(store, "abmil", tasks=["survival"], epochs=2), "predictions")
    assert epochs_of(store) == {}
