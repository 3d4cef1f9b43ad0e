"""Who is better than whom, from stored predictions of one protocol and cohort."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.evaluation import FoldRows, score_method, with_verdicts
from mirrorflow.metrics.resampled_t import t_test

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


# Two tests, one rule.


def by_fold(
    method: str, right: list[list[int]], folds: int = 5, *, leave_out: int = 0, n_train: int | None = None
) -> list[tuple[dict, Any]]:
    """Folds of 20 patients; the given ones are predicted right. leave_out: patients absent from fold 0."""
    labels, parts = np.tile(["a", "b"], 10), []
    for fold in range(folds):
        hit = np.isin(np.arange(20), right[fold])
        sure = np.where((labels == "a") == hit, 0.8, 0.2)
        rows = pd.DataFrame({"label": labels, "prob_a": sure, "prob_b": 1 - sure, "slide_id": ""})
        rows = rows.assign(setting="all", seed=0, fold=fold, patient=[f"{fold}-{i}" for i in range(20)])
        rows = rows.iloc[leave_out if fold == 0 else 0 :]
        parts.append(FoldRows(rows, {"classes": ["a", "b"], "settings": [NOTE]}, n_train=n_train))
    where = {"protocol": "honest", "cohort": "c", "encoder": "e", "method": method, "predictions": "p"}
    scored = score_method("subtyping", parts, resamples=400, confidence=0.95, seed=0)
    return [(where, cell) for cell in scored]


def first(*counts: int) -> list[list[int]]:
    return [list(range(count)) for count in counts]


def test_what_the_bootstrap_alone_finds_is_no_verdict():
    # 60 of 100 against 44 of 100, but the gain comes from two folds.
    row = verdicts(by_fold("concat-linear", first(8, 9, 9, 9, 9)), by_fold("m", first(18, 17, 9, 8, 8)))["m", "e"]
    assert row["p_value"] < 0.05 < row["p_t_test"]
    assert row["p_holm"] == row["p_t_test"]
    assert row["verdict"] == "not distinguishable"
    assert row["difference_low"] < 0 < row["difference_high"]


def test_what_both_find_is_better_by_the_larger_p():
    row = verdicts(by_fold("concat-linear", first(8, 9, 9, 9, 9)), by_fold("m", first(15, 17, 16, 17, 17)))["m", "e"]
    assert row["p_holm"] == max(row["p_value"], row["p_t_test"]) < 0.05
    assert (row["verdict"], row["comparison"]) == ("better", "exploratory")
    assert row["difference_low"] > 0
    assert 0 < row["detectable"] < row["difference"]


def test_training_patients_that_folds_share_make_the_test_harder():
    pair = by_fold("concat-linear", first(8, 9, 9, 9, 9)), first(15, 17, 12, 17, 16)
    small, large = (verdicts(pair[0], by_fold("m", pair[1], n_train=n))["m", "e"]["p_t_test"] for n in (20_000, 80))
    assert small < large


def test_one_fold_has_no_t_test_and_no_verdict():
    row = verdicts(by_fold("concat-linear", first(5), 1), by_fold("m", first(19), 1))["m", "e"]
    assert row["p_value"] < 0.05
    assert np.isnan([row["p_t_test"], row["p_holm"], row["detectable"]]).all()
    assert (row["verdict"], row["verdict_note"]) == ("no verdict", "no t-test: one fold")


def test_methods_are_compared_on_the_patients_that_both_have():
    # Without three patients of fold 0, whom m has right: 12 of the other 17 against 5, and 8 more in each other fold.
    row = verdicts(
        by_fold("concat-linear", first(8, 9, 9, 9, 9)), by_fold("m", first(15, 17, 16, 17, 17), leave_out=3)
    )["m", "e"]
    assert row["verdict_note"] == "on the 97 of 100 patients that both have"
    assert row["difference"] == pytest.approx((7 / 17 + 8 / 20 + 7 / 20 + 8 / 20 + 8 / 20) / 5)
    assert row["verdict"] == "better"


def test_the_primary_comparison_is_not_adjusted_and_does_not_count_for_others():
    methods = [by_fold("concat-linear", first(8, 9, 9, 9, 9)), by_fold("m", first(14, 17, 11, 17, 16))]
    methods += [by_fold(name, first(9, 9, 8, 9, 9)) for name in ("one", "two", "three")]
    cells_ = [cell for method in methods for cell in method]
    place = {"protocol": "honest", "cohort": "c", "encoder": "e", "setting": "all", "method": "m", "metric": "accuracy"}

    def rows(primary: dict[str, str] | None) -> dict[str, dict[str, Any]]:
        found = with_verdicts(cells_, "concat-linear", 0.95, primary)
        return {row["method"]: row for row in found if row["metric"] == "accuracy"}

    exploratory, named = rows(None), rows(place)
    own = max(named["m"]["p_value"], named["m"]["p_t_test"])
    assert exploratory["m"]["p_holm"] == pytest.approx(4 * own)
    assert named["m"]["p_holm"] == own
    assert (exploratory["m"]["verdict"], named["m"]["verdict"]) == ("not distinguishable", "better")
    assert [row["comparison"] for row in named.values()] == ["", "primary", *["exploratory"] * 3]
    assert {row["comparison"] for row in exploratory.values()} == {"", "exploratory"}
    # Three are left in the family for four.
    ratio = [rows_["one"]["detectable_holm"] / rows_["one"]["detectable"] for rows_ in (exploratory, named)]
    assert ratio[0] > ratio[1] > 1


def test_seeds_are_averaged_within_their_fold_and_bring_no_degrees_of_freedom():
    rng = np.random.default_rng(0)
    notes = {"classes": ["a", "b"], "settings": [NOTE]}

    def folds(right: list[list[int]]) -> list[FoldRows]:
        """A number of patients predicted right for each fold and seed."""
        parts = []
        for fold, counts in enumerate(right):
            frames = []
            for seed, count in enumerate(counts):
                sure = np.where((LABELS[:20] == "a") == (rng.permutation(20) < count), 0.8, 0.2)
                rows = pd.DataFrame({"label": LABELS[:20], "prob_a": sure, "prob_b": 1 - sure, "slide_id": ""})
                frames.append(
                    rows.assign(setting="all", seed=seed, fold=fold, patient=[f"{fold}-{i}" for i in range(20)])
                )
            parts.append(FoldRows(pd.concat(frames), notes, n_train=80))
        return parts

    scored = {
        name: score_method("subtyping", folds(right), resamples=100, confidence=0.95, seed=0)
        for name, right in {
            "concat-linear": [[10, 12], [11, 11], [9, 11], [12, 10], [10, 10]],
            "m": [[14, 16], [12, 16], [15, 15], [13, 15], [16, 12]],
        }.items()
    }
    shared = {"protocol": "honest", "cohort": "c", "encoder": "e", "predictions": "p"}
    rows = [({**shared, "method": name}, cell) for name, cells_ in scored.items() for cell in cells_]
    (found,) = [row for row in with_verdicts(rows, "concat-linear", 0.95) if row["p_t_test"] > 0][:1] or [None]
    values = np.array([4.0, 3, 5, 3, 4]) / 20  # means over two seeds, fold by fold
    assert (found["method"], found["metric"]) == ("m", "accuracy")
    assert found["p_t_test"] == pytest.approx(t_test(values, values.mean(), 20 / 80, 0.95).p_value)
