"""A network on a fold: resumed after a kill, Cox instead of hazards, RNA alone, CLAM by its entry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from labelled_cohort import Store
from mirrorflow.learners import network as learner
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.saved import load_trained
from mirrorflow.learners.tasks import ModelPlace, Plan
from mirrorflow.store.model_files import CHECKPOINT
from mirrorflow.store.predictions import read_predictions


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


def test_a_killed_training_goes_on_and_predicts_as_if_nothing_had_happened(store, monkeypatch):
    plan = plan_of(store, "abmil", tasks=["subtyping"])
    elsewhere = replace(plan, saved=replace(plan.saved, results=str(store.folder / "undisturbed")))
    expected = predicted(store, elsewhere, "undisturbed-predictions")
    save, saved = learner.save_checkpoint, []

    def dying(folder, state, made_from):
        save(folder, state, made_from)
        saved.append(state.epoch)
        if len(saved) == 2:
            raise KilledError

    monkeypatch.setattr(learner, "save_checkpoint", dying)
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
