"""Who is better than whom, from stored predictions of one protocol and cohort."""

from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.evaluation import FoldRows, score_method, with_verdicts

NOTE = {"setting": "all", "k_real": None, "lost_units": []}
LABELS = np.tile(["a", "b"], 30)


def cells(method: str, share_right: float, encoder: str = "e", patients: str = "P") -> list[tuple[dict, Any]]:
    """Two folds of 60 patients each, the given share of them predicted right (the first ones)."""
    folds = []
    for fold in range(2):
        right = np.arange(60) < share_right * 60
        sure = np.where((LABELS == "a") == right, 0.8, 0.2)
        rows = pd.DataFrame({"label": LABELS, "prob_a": sure, "prob_b": 1 - sure, "slide_id": ""})
        rows = rows.assign(setting="all", seed=0, fold=fold, patient=[f"{patients}{fold}-{i}" for i in range(60)])
        folds.append(FoldRows(rows, {"classes": ["a", "b"], "settings": [NOTE]}))
    where = {"protocol": "honest", "cohort": "c", "encoder": encoder, "method": method, "predictions": "p"}
    scored = score_method("subtyping", folds, resamples=400, confidence=0.95, seed=0)
    return [(where, cell) for cell in scored]


def verdicts(*methods: list, metric: str = "accuracy") -> dict[tuple[str, str], dict[str, Any]]:
    rows = with_verdicts([cell for method in methods for cell in method], "concat-linear", 0.95)
    return {(row["method"], row["encoder"]): row for row in rows if row["metric"] == metric}


def test_better_worse_and_not_distinguishable():
    found = verdicts(
        cells("concat-linear", 0.7), cells("good", 0.95), cells("bad", 0.3), cells("same", 0.7), cells("close", 0.72)
    )
    said = {method: row["verdict"] for (method, _), row in found.items()}
    assert said == {
        "concat-linear": "reference",
        "good": "better",
        "bad": "worse",
        "same": "not distinguishable",
        "close": "not distinguishable",
    }
    good = found["good", "e"]
    assert good["reference"] == "concat-linear"
    assert good["difference"] > 0.2
    assert good["difference_low"] < good["difference"] < good["difference_high"]
    assert good["p_value"] < good["p_holm"] <= 1


def test_holm_counts_the_methods_of_a_column_alone():
    two = verdicts(cells("concat-linear", 0.7), cells("good", 0.95))
    four = verdicts(cells("concat-linear", 0.7), cells("good", 0.95), cells("same", 0.7), cells("bad", 0.2))
    assert two["good", "e"]["p_holm"] == two["good", "e"]["p_value"]
    assert four["good", "e"]["p_holm"] == 3 * four["good", "e"]["p_value"]


def test_a_method_is_held_against_the_reference_on_its_own_encoder():
    found = verdicts(
        cells("concat-linear", 0.5, "one"),
        cells("concat-linear", 0.9, "two"),
        cells("m", 0.7, "one"),
        cells("m", 0.7, "two"),
        cells("rna", 0.7, "none"),
    )
    assert found["m", "one"]["difference"] > 0 > found["m", "two"]["difference"]
    assert found["m", "one"]["reference"] == "concat-linear"
    assert found["rna", "none"]["reference"] == "concat-linear (one)"


def test_without_a_reference_there_is_no_verdict_and_that_is_said(caplog):
    (row,) = verdicts(cells("m", 0.7)).values()
    assert "'concat-linear' is no method of this run" in caplog.text
    assert (row["verdict"], row["reference"]) == ("", "")
    assert np.isnan(row["p_value"])


def test_other_patients_are_not_compared():
    row = verdicts(cells("concat-linear", 0.7), cells("m", 0.9, patients="Q"))["m", "e"]
    assert row["verdict"] == ""
    assert np.isnan(row["difference"])


def test_calibration_distances_get_no_verdict():
    row = verdicts(cells("concat-linear", 0.7), cells("m", 0.9), metric="ece")["m", "e"]
    assert row["verdict"] == ""
    assert np.isnan(row["ci_low"])


def test_too_few_resamples_for_the_family_are_said_in_the_table(caplog):
    said = "not distinguishable: too few resamples for 11 comparisons"
    methods = [cells("good", 0.99), *(cells(f"m{i}", 0.7) for i in range(10))]
    found = verdicts(cells("concat-linear", 0.3), *methods)
    assert {row["verdict"] for row in found.values()} == {said, "reference"}
    assert found["good", "e"]["p_holm"] == 11 * 2 / 401 > 0.05
    assert "set evaluation.bootstrap to 440 or more" in caplog.text


def test_as_many_resamples_as_the_family_needs_are_enough():
    methods = [cells("good", 0.99), *(cells(f"m{i}", 0.3) for i in range(9))]
    assert verdicts(cells("concat-linear", 0.3), *methods)["good", "e"]["verdict"] == "better"
