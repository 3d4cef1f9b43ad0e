"""The epoch as TTA's released code chooses it: by a loss of twice-taken logarithms, from the sixth epoch on."""

import numpy as np
import pytest

from mirrorflow.audit.findings import audit_protocol
from mirrorflow.config.protocols import PROTOCOL_PRESETS, label_scope_of, scope_of
from mirrorflow.learners.registry import released_score_on
from mirrorflow.probes.task import SubtypePrediction, SurvivalPrediction, Targets

TARGETS = Targets(list("abc"), time_days=np.array([3.0, 1.0, 2.0]), event=np.array([True, True, False]))


def score(*risk: float, epoch: int = 6) -> float:
    return released_score_on(TARGETS)(SurvivalPrediction(np.array(risk), None, epoch))


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


def test_no_event_is_no_reason_to_take_an_epoch():
    targets = Targets(list("ab"), time_days=np.array([1.0, 2.0]), event=np.array([False, False]))
    found = released_score_on(targets)(SurvivalPrediction(np.array([1.0, 2.0]), None, 7))
    assert found < -1e8


def test_classes_are_judged_by_cross_entropy():
    targets = Targets(list("ab"), classes=np.array([0, 1]))
    found = released_score_on(targets)(SubtypePrediction(np.array([[0.5, 0.5], [0.2, 0.8]]), 6))
    assert found == pytest.approx((np.log(0.5) + np.log(0.8)) / 2)


def test_the_auditor_calls_it_a_leak_and_its_models_are_its_own():
    protocol = PROTOCOL_PRESETS["tta-paper"]
    assert {one.kind for one in audit_protocol(protocol) if one.level == "leak"} == {"epoch", "survival_bins"}
    assert "least_loss_on_evaluation" in label_scope_of(protocol)
    assert scope_of(protocol) == scope_of(PROTOCOL_PRESETS["honest"] | {"splits": "mmp"})
