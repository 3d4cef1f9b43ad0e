"""What a run really used, on a handful of patients."""

import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit import evidence
from mirrorflow.audit.findings import LEAK, WARNING
from mirrorflow.cohorts.splits import Fold

FOLDS = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def cohort(**columns: list) -> pd.DataFrame:
    frame = {"patient": list("ABCD"), "label": list("xyxy"), "time_days": [1.0, 2, 3, 4], "event": [1.0, 0, 1, 0]}
    return pd.DataFrame(frame | columns).assign(unit=list("ABCD"))


def kinds(findings) -> set[tuple[str, str, int | None, int]]:
    return {(one.level, one.kind, one.fold, one.count) for one in findings}


# Folds against the cohort.


def test_patients_in_neither_part_and_never_evaluated_are_named():
    folds = [Fold(("A",), ("C", "D")), Fold(("A", "C", "D"), ())]
    found = list(evidence.audit_membership(folds, cohort(event=[0.0] * 4)))
    assert (WARNING, "in_neither", 0, 1) in kinds(found)
    assert (WARNING, "in_neither", 1, 1) in kinds(found)
    (never,) = [one for one in found if one.kind == "never_evaluated"]
    assert never.examples == ("A", "B")


def test_parts_with_hardly_an_event_are_named_where_there_are_outcomes():
    found = kinds(evidence.audit_membership(FOLDS, cohort()))
    assert found == {(WARNING, "few_events", fold, 1) for fold in (0, 1)}
    assert not kinds(evidence.audit_membership(FOLDS, cohort(event=[np.nan] * 4)))


# Support sets.


def support(*rows: tuple[str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["group", "patient", "unit"])
    return frame.assign(setting="2-shot", task="subtyping", fold="0")


def test_k_distinct_patients_are_nothing_to_find():
    drawn = support(("x", "A", "A"), ("x", "E", "E"), ("y", "B", "B"), ("y", "F", "F"))
    assert not list(evidence.audit_support(drawn, FOLDS))


def test_duplicates_and_siblings_in_a_support_set_are_counted():
    drawn = support(("x", "A", "A-1"), ("x", "A", "A-2"), ("x", "A", "A-3"), ("y", "B", "B-1"), ("y", "E", "E-1"))
    (finding,) = evidence.audit_support(drawn, FOLDS)
    assert (finding.level, finding.kind, finding.fold) == (WARNING, "support_size", 0)
    assert finding.text.endswith("patients and units of x: 1 and 3")


def test_a_support_patient_who_is_evaluated_is_a_leak():
    drawn = support(("x", "A", "A"), ("x", "C", "C"), ("y", "B", "B"), ("y", "D", "D"))
    (finding,) = evidence.audit_support(drawn, FOLDS)
    assert (finding.level, finding.kind, finding.count, finding.examples) == (LEAK, "support_evaluated", 2, ("C", "D"))


# Genes, models, bins, epochs.


def test_labels_outcomes_and_values_of_genes_are_told_apart():
    record = {
        "genes": 12,
        "genes_by_reason": {"rfe": 10, "census": 2},
        "label_patients": ["A", "B"],
        "outcome_patients": ["A", "C"],
        "value_patients": ["A", "B", "C", "D"],
    }
    findings, seen = evidence.audit_gene_record(FOLDS[0], 0, record)
    assert kinds(findings) == {(LEAK, "gene_outcomes", 0, 1), (WARNING, "gene_values", 0, 2)}
    assert [(one.what, one.patients, one.of_evaluation) for one in seen] == [
        ("genes: subtype labels", 2, 0),
        ("genes: outcomes", 2, 1),
        ("genes: expression", 4, 2),
    ]
    assert seen[0].detail == "12 genes, 10 of them chosen"
    assert findings[0].text == (
        "10 of 12 genes were chosen with the outcomes of 2 patients, 1 evaluation patients among them"
    )


TRAINING, EVERYBODY = evidence.Group("t", frozenset("AB")), evidence.Group("e", frozenset("ABCD"))


@pytest.mark.parametrize(("recorded", "found"), [("t", set()), ("e", {(LEAK, "pretraining", 0, 2)})])
def test_whom_a_model_was_fitted_on_is_known_by_the_digest(recorded, found):
    findings, seen = evidence.audit_fitted("m", 0, "CD", recorded, TRAINING, EVERYBODY, kind="pretraining")
    assert kinds(findings) == found
    assert (seen.patients, seen.of_evaluation) == ((2, 0) if recorded == "t" else (4, 2))


@pytest.mark.parametrize(
    ("recorded", "said"), [("?", "was fitted on others"), (None, "does not record its training patients")]
)
def test_a_model_of_other_units_or_of_nobody_knows_whom_is_a_leak(recorded, said):
    findings, seen = evidence.audit_fitted("m", 0, "CD", recorded, TRAINING, EVERYBODY, kind="scaler")
    assert kinds(findings) == {(LEAK, "scaler", 0, 0)}
    assert said in findings[0].text
    assert (seen.patients, seen.of_evaluation) == (-1, -1)


def test_bins_are_recognised_by_their_edges():
    edges = {"training": np.array([0, 5, np.inf]), "all units": np.array([0, 6, np.inf])}
    assert evidence.audit_bins(0, [0.0, 5.0], edges) == ([], "training")
    assert evidence.audit_bins(0, [0.0, 6.0], edges) == ([], "all units")
    findings, who = evidence.audit_bins(0, [0.0, 7.0], edges)
    assert (who, kinds(findings)) == ("unknown", {(WARNING, "survival_bins_unknown", 0, 0)})


def test_an_epoch_chosen_otherwise_than_said_is_found():
    assert evidence.audit_epochs(["last", "last"], "last") == []
    (leak,) = evidence.audit_epochs(["last", "best_on_evaluation"], "last")
    assert leak.level == LEAK
    (warning,) = evidence.audit_epochs(["last"], "best_on_evaluation")
    assert warning.level == WARNING


INNER = [Fold(("A",), ("B",)), Fold(("B",), ("A",))]


def chosen(epoch: int = 2, **changes: object) -> dict:
    return {"epoch": epoch, "epoch_choice": {"mean": [0.1, 0.7, 0.7], "splits": ["d0", "d1"]}, **changes}


def test_an_epoch_of_best_inner_mean_is_vouched_for():
    findings, seen = evidence.audit_epoch_choice("m", 0, chosen(), INNER, FOLDS[0], ["d0", "d1"])
    assert findings == []
    assert (seen.patients, seen.of_evaluation) == (2, 0)
    assert seen.detail == "epoch 2 of 3, inner mean 0.700"


@pytest.mark.parametrize(
    ("note", "digests", "said"),
    [
        (chosen(3), ["d0", "d1"], "is 3, the best on the inner folds is 2"),
        (chosen(), ["d0", "other"], "on other inner folds"),
        ({"epoch": 2}, ["d0", "d1"], "nothing that its record names"),
    ],
)
def test_an_epoch_that_is_not_vouched_for_is_a_leak(note, digests, said):
    (leak,), seen = evidence.audit_epoch_choice("m", 0, note, INNER, FOLDS[0], digests)
    assert (leak.level, leak.kind, leak.fold) == (LEAK, "epoch_choice", 0)
    assert said in leak.text
    assert seen.patients == -1


# Evaluated units.


def predicted(*names: str, setting: str = "all") -> pd.DataFrame:
    return pd.DataFrame({"setting": setting, "patient": list(names), "unit": list(names)})


def test_lost_units_are_counted_by_class_or_by_event():
    expected = cohort().iloc[2:]
    (one,) = evidence.audit_lost("subtyping", 0, expected, predicted("C"), {"all"})
    assert one.text == "1 evaluation units of subtyping are lost with the last incomplete batch: 1 y"
    (two,) = evidence.audit_lost("survival", 0, expected, predicted("D"), ())
    assert two.text == "1 evaluation units of survival are not predicted: 1 with event"
    assert not list(evidence.audit_lost("survival", 0, expected, predicted("C", "D"), ()))


def test_lost_units_are_told_by_setting_where_settings_lost_others():
    """A unit that any setting has counted as predicted in all."""
    expected = cohort().iloc[1:]
    rows = pd.concat([predicted("B"), predicted("B", "C", setting="1-shot"), predicted(*"BCD", setting="3-shot")])
    found = list(evidence.audit_lost("subtyping", 0, expected, rows, {"all", "1-shot"}))
    assert [one.text for one in found] == [
        "2 evaluation units of subtyping (all) are lost with the last incomplete batch: 1 x, 1 y",
        "1 evaluation units of subtyping (1-shot) are lost with the last incomplete batch: 1 y",
    ]
    alike = pd.concat([predicted("B", "C"), predicted("B", "C", setting="3-shot")])
    (one,) = evidence.audit_lost("subtyping", 0, expected, alike, {"all", "3-shot"})
    assert one.text == "1 evaluation units of subtyping are lost with the last incomplete batch: 1 y"


def test_evaluated_training_patients_and_strangers_are_found():
    found = evidence.audit_evaluated("subtyping", 0, FOLDS[0], predicted("A", "C", "D", "Z"))
    assert kinds(found) == {(LEAK, "evaluated_in_training", 0, 1), (WARNING, "evaluated_elsewhere", 0, 1)}


def test_outcomes_that_were_filled_in_are_found():
    frame = cohort(time_days=[1.0, 2, np.nan, 4], event=[1.0, 0, np.nan, 0])
    rows = pd.DataFrame({"patient": ["C", "D"], "time_days": [0.0, 9.0], "event": [0.0, 0.0]})
    found = list(evidence.audit_filled_in("survival", 0, rows, frame))
    assert kinds(found) == {(LEAK, "filled_in", 0, 1), (LEAK, "other_targets", 0, 1)}
    assert [one.examples for one in found] == [("C",), ("D",)]
    labels = pd.DataFrame({"patient": ["C", "D"], "label": ["x", "x"]})
    (other,) = evidence.audit_filled_in("subtyping", 0, labels, cohort(label=["x", "y", "x", "y"]))
    assert (other.kind, other.examples) == ("other_targets", ("D",))
    assert not list(evidence.audit_filled_in("survival", 0, cohort().iloc[2:], cohort()))
