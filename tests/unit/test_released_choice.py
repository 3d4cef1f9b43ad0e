"""The epoch as TTA's released code chooses it: by a loss of twice-taken logarithms, from the sixth epoch on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from labelled_cohort import CLASSES, Store
from mirrorflow.audit.findings import audit_protocol
from mirrorflow.config import versions
from mirrorflow.config.protocols import PROTOCOL_PRESETS, label_scope_of, scope_of
from mirrorflow.learners.registry import released_score_on, version_of
from mirrorflow.probes.hazards import hazard_nll
from mirrorflow.probes.objective import HazardReadout
from mirrorflow.probes.task import SubtypePrediction, SurvivalPrediction, Targets
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_fold, write_cohort

TARGETS = Targets(list("abc"), time_days=np.array([3.0, 1.0, 2.0]), event=np.array([True, True, False]))


def without_event(count: int) -> Targets:
    return Targets(pd.DataFrame(index=range(count)), time_days=np.arange(1.0, count + 1), event=np.zeros(count, bool))


def score(*risk: float, epoch: int = 6) -> float:
    return released_score_on(TARGETS, hazards=False)(SurvivalPrediction(np.array(risk), None, epoch))


def test_the_loss_is_coxs_of_the_logarithm_of_log_risks():
    """Units by time: b (event), c, a (event). Scores 2, 3, 0.5 become their logarithms."""
    b, c, a = np.log([2.0, 3.0, 0.5])
    expected = (b - np.logaddexp.reduce([b, c, a]) + a - a) / 2
    assert score(0.5, 2.0, 3.0) == pytest.approx(expected, rel=1e-12)


def test_all_negative_log_risks_are_one():
    assert score(-0.1, -5.0, -2.0) == score(-3.0, -3.0, -3.0) == pytest.approx(-np.log(3) / 2, rel=1e-9)


def test_epochs_before_the_sixth_are_taken_only_where_there_is_no_other_and_then_the_last():
    assert score(0.5, 2.0, 3.0, epoch=5) < score(9.0, 1e-9, 9.0, epoch=6)
    assert score(0.5, 2.0, 3.0, epoch=2) < score(0.5, 2.0, 3.0, epoch=3)


def test_hazards_are_judged_by_their_likelihood():
    """As the loss that they are trained on has it, events in the first and the second bin, one censored."""
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = replace(TARGETS, bins=np.array([1, 0, 3]))
    prediction = HazardReadout().predict(logits, 6)
    expected = -hazard_nll(logits, torch.tensor(targets.bins), torch.tensor(targets.event))
    assert released_score_on(targets, hazards=True)(prediction) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("survival", ["hazards", "cox"])
def test_the_epoch_follows_the_evaluation_units(tmp_path, survival):
    store = Store(tmp_path)
    plan = store.plan("abmil", shots=[], tasks=["survival"])
    train = plan.method["train"] | {"epochs": 12, "survival": survival}
    protocol = {**plan.protocol, "epoch": "least_loss_on_evaluation"}
    plan = replace(plan, protocol=protocol, method=plan.method | {"train": train})
    folder = store.predict(plan, store.inputs(inputs=["slides"]))
    notes = [read_predictions(folder / f"survival/fold{fold}.parquet").notes for fold in range(2)]
    chosen = [note["settings"][0]["epoch"] for note in notes]
    assert min(chosen) >= 6
    assert max(chosen) > 6, "a constant score takes the sixth epoch, whatever the evaluation units say"


def test_what_it_chose_for_hazards_before_is_chosen_again_and_nothing_else():
    method = {"family": "abmil", "train": {}}
    by_cox = {"family": "abmil", "train": {"survival": "cox"}}
    chosen = version_of(method, "least_loss_on_evaluation")
    assert chosen == f"{versions.SUPERVISED}, hazards' choice {versions.HAZARDS_CHOICE}"
    assert version_of(method, "last") == versions.SUPERVISED
    assert version_of(by_cox, "least_loss_on_evaluation") == version_of(by_cox, "last")


def test_what_was_trained_on_coxs_loss_is_trained_again_and_nothing_else():
    """Its baseline and its choice have changed."""
    by_cox = {"family": "abmil", "train": {"survival": "cox"}}
    assert version_of(by_cox, "last") == f"{versions.SUPERVISED}, Cox {versions.COX_NETWORKS}"
    assert version_of({"family": "abmil", "train": {"survival": "hazards"}}, "last") == versions.SUPERVISED
    assert version_of({"family": "linear"}, "last") == versions.BASELINES


def test_what_may_have_had_no_measure_to_choose_by_is_chosen_again_and_nothing_else():
    said = f", undefined choice {versions.UNDEFINED_CHOICE}"
    head, network, adapted = {"family": "mirror"}, {"family": "abmil", "train": {}}, {"family": "mirror", "adapt": {}}
    assert [version_of(one, "best_on_evaluation") for one in (head, network, adapted)] == [
        f"{version_of(one, 'last')}{said}" for one in (head, network, adapted)
    ]
    assert version_of({"family": "linear"}, "best_on_evaluation") == versions.BASELINES
    assert said not in version_of(head, "last")


def test_without_an_event_the_sixth_epoch_is_before_the_fifth_and_all_later_are_its_equals():
    """Cox's loss without an event is 0."""
    judge = released_score_on(without_event(2), hazards=False)
    found = [judge(SurvivalPrediction(np.array([1.0, -2.0 * epoch]), None, epoch)) for epoch in range(1, 9)]
    assert found[5:] == [0, 0, 0]
    assert max(found[:5]) < -1e8


@pytest.mark.parametrize(("rule", "epoch"), [("best_on_evaluation", 8), ("least_loss_on_evaluation", 6)])
def test_an_evaluation_fold_without_an_event_does_not_take_an_early_epoch(tmp_path, rule, epoch):
    store = Store(tmp_path)
    plan = store.plan("abmil", shots=[], tasks=["survival"])
    held_out = read_fold(plan.splits[0]).val
    write_cohort(plan.cohort, store.frame.assign(event=(~store.frame["patient"].isin(held_out)).astype(float)), CLASSES)
    train = plan.method["train"] | {"epochs": 8, "survival": "cox"}
    plan = replace(plan, protocol={**plan.protocol, "epoch": rule}, method=plan.method | {"train": train})
    notes = read_predictions(store.predict(plan, store.inputs(inputs=["slides"])) / "survival/fold0.parquet").notes
    assert notes["settings"][0]["epoch"] == epoch


def test_classes_are_judged_by_cross_entropy():
    targets = Targets(list("ab"), classes=np.array([0, 1]))
    found = released_score_on(targets, hazards=False)(SubtypePrediction(np.array([[0.5, 0.5], [0.2, 0.8]]), 6))
    assert found == pytest.approx((np.log(0.5) + np.log(0.8)) / 2)


def test_the_auditor_calls_it_a_leak_and_its_models_are_its_own():
    protocol = PROTOCOL_PRESETS["tta-paper"]
    assert {one.kind for one in audit_protocol(protocol) if one.level == "leak"} == {"epoch", "survival_bins"}
    assert "least_loss_on_evaluation" in label_scope_of(protocol)
    assert scope_of(protocol) == scope_of(PROTOCOL_PRESETS["honest"] | {"splits": "mmp"})
