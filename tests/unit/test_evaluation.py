from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.evaluation import FoldRows, score_cells
from mirrorflow.evaluation.folds import followed_up, predicted_curves
from mirrorflow.probes.task import SurvivalPrediction
from mirrorflow.reuse.survival import survival_on

CLASSES = ["a", "b"]


def note(setting: str = "all", **changes: Any) -> dict[str, Any]:
    return {"setting": setting, "k_real": None, "lost_units": []} | changes


def subtype_fold(
    fold: int,
    truth: str,
    predicted: str,
    *,
    setting: str = "all",
    seed: int = 0,
    slides: int = 1,
) -> pd.DataFrame:
    """A patient per letter, with ``slides`` rows each, predicted with probability 0.9."""
    rows = [
        {
            "setting": setting,
            "seed": seed,
            "fold": fold,
            "patient": f"{fold}-{number}",
            "slide_id": f"{fold}-{number}-{slide}",
            "label": true,
            "prob_a": 0.9 if guess == "a" else 0.1,
            "prob_b": 0.1 if guess == "a" else 0.9,
        }
        for number, (true, guess) in enumerate(zip(truth, predicted, strict=True))
        for slide in range(slides)
    ]
    return pd.DataFrame(rows)


def survival_fold(fold: int, risk: list[float], events: list[int]) -> pd.DataFrame:
    times = np.arange(1.0, len(risk) + 1)
    patients = [f"{fold}-{number}" for number in range(len(risk))]
    frame = pd.DataFrame({"patient": patients, "time_days": times, "event": events, "risk": risk})
    return frame.assign(setting="all", seed=0, fold=fold, slide_id="")


def notes(*settings: dict[str, Any]) -> dict[str, Any]:
    return {"classes": CLASSES, "settings": list(settings) or [note()]}


def cells(task: str, *folds: FoldRows, resamples: int = 20) -> dict[tuple[str, str], dict[str, Any]]:
    scored = score_cells(task, folds, resamples=resamples, confidence=0.95, seed=0)
    return {(cell["setting"], cell["metric"]): cell for cell in scored}


def test_a_cell_is_the_mean_over_folds():
    folds = [
        FoldRows(subtype_fold(0, "aabb", "aabb"), notes()),
        FoldRows(subtype_fold(1, "aabb", "abab"), notes()),
    ]
    cell = cells("subtyping", *folds)["all", "accuracy"]
    assert cell["mean"] == 0.75
    assert cell["sd"] == pytest.approx(np.std([1, 0.5], ddof=1))
    assert cell["by_fold"] == "1.0000 0.5000"
    assert (cell["n"], cell["patients"], cell["folds"]) == (8, 8, 2)
    assert cell["ci_low"] <= cell["mean"] <= cell["ci_high"]
    assert (cell["why_undefined"], cell["note"]) == ("", "")


def test_slides_are_counted_apart_from_patients():
    cell = cells("subtyping", FoldRows(subtype_fold(0, "ab", "ab", slides=3), notes()))["all", "accuracy"]
    assert (cell["n"], cell["patients"]) == (6, 2)


def test_seeds_are_averaged_and_their_units_counted_once():
    rows = pd.concat([subtype_fold(0, "aabb", "aabb"), subtype_fold(0, "aabb", "bbbb", seed=1)])
    cell = cells("subtyping", FoldRows(rows, notes()))["all", "accuracy"]
    assert cell["mean"] == 0.75
    assert cell["n"] == 4


def test_the_variance_of_training_is_the_deviation_between_seeds():
    seeds = pd.concat([subtype_fold(0, "aabb", "aabb"), subtype_fold(0, "aabb", "bbbb", seed=1)])
    other = pd.concat([subtype_fold(1, "aabb", "aabb"), subtype_fold(1, "aabb", "aabb", seed=1)])
    cell = cells("subtyping", FoldRows(seeds, notes()), FoldRows(other, notes()))["all", "accuracy"]
    assert cell["seeds"] == 2
    assert cell["seed_sd"] == pytest.approx(np.std([1.0, 0.75], ddof=1))
    one = cells("subtyping", FoldRows(subtype_fold(0, "ab", "ab"), notes()))["all", "accuracy"]
    assert one["seeds"] == 1
    assert np.isnan(one["seed_sd"])


def test_every_setting_has_cells_of_its_own():
    rows = pd.concat([subtype_fold(0, "ab", "ab"), subtype_fold(0, "ab", "ba", setting="3-shot")])
    folds = FoldRows(rows, notes(note(), note("3-shot", k_real=3)))
    scored = cells("subtyping", folds)
    assert scored["all", "accuracy"]["mean"] == 1
    assert scored["3-shot", "accuracy"]["mean"] == 0


def test_a_setting_that_a_fold_lacks_is_scored_on_the_others():
    both = pd.concat([subtype_fold(0, "ab", "ab"), subtype_fold(0, "ab", "ab", setting="3-shot")])
    folds = [
        FoldRows(both, notes(note(), note("3-shot", k_real=3))),
        FoldRows(subtype_fold(1, "ab", "ba"), notes()),
    ]
    scored = cells("subtyping", *folds)
    assert scored["all", "accuracy"]["folds"] == 2
    assert scored["3-shot", "accuracy"]["folds"] == 1


def test_the_labels_that_chose_the_genes_are_told_by_setting():
    rows = [pd.concat([subtype_fold(k, "ab", "ab"), subtype_fold(k, "ab", "ab", setting="3-shot")]) for k in (0, 1)]
    folds = [
        FoldRows(part, notes(note() | {"gene_labels": seen}, note("3-shot", k_real=3) | {"gene_labels": 0}))
        for part, seen in zip(rows, (40, 41), strict=True)
    ]
    scored = cells("subtyping", *folds)
    assert scored["all", "accuracy"]["gene_labels"] == 41
    assert scored["3-shot", "accuracy"]["gene_labels"] == 0
    without = cells("subtyping", FoldRows(rows[0], notes(note(), note("3-shot", k_real=3))))
    assert np.isnan(without["all", "accuracy"]["gene_labels"])


def test_the_real_k_is_noted_when_it_is_not_the_settings():
    rows = [subtype_fold(fold, "ab", "ab", setting="3-shot") for fold in (0, 1)]
    same = [FoldRows(part, notes(note("3-shot", k_real=3))) for part in rows]
    less = [FoldRows(part, notes(note("3-shot", k_real=k))) for part, k in zip(rows, (2, 3), strict=True)]
    assert cells("subtyping", *same)["3-shot", "accuracy"]["note"] == ""
    assert cells("subtyping", *less)["3-shot", "accuracy"]["note"] == "k = 2, 3 (smallest group)"


def test_lost_units_are_counted_once_however_many_settings_lost_them():
    lost = ["u1", "u2"]
    both = pd.concat([subtype_fold(0, "ab", "ab"), subtype_fold(0, "ab", "ab", setting="3-shot")])
    fold = FoldRows(both, notes(note(lost_units=lost), note("3-shot", k_real=3, lost_units=lost)))
    assert cells("subtyping", fold)["all", "accuracy"]["note"] == "2 evaluation units lost with the last batch"


def test_a_setting_says_only_the_units_that_it_lost_itself():
    """The union over settings was said of each: few-shot settings have smaller batches, and lose fewer."""
    both = pd.concat([subtype_fold(0, "ab", "ab"), subtype_fold(0, "aba", "aba", setting="1-shot")])
    settings = [note(lost_units=["u1", "u2"]), note("1-shot", k_real=1, lost_units=["u2"]), note("3-shot", k_real=3)]
    rows = pd.concat([both, subtype_fold(0, "abab", "abab", setting="3-shot")])
    found = cells("subtyping", FoldRows(rows, notes(*settings)))
    assert found["all", "accuracy"]["note"] == "2 evaluation units lost with the last batch"
    assert found["1-shot", "accuracy"]["note"] == "1 evaluation units lost with the last batch"
    assert found["3-shot", "accuracy"]["note"] == ""


def test_an_undefined_metric_is_nan_and_says_in_which_fold_and_why():
    folds = [FoldRows(subtype_fold(0, "aa", "ab"), notes()), FoldRows(subtype_fold(3, "ab", "ab"), notes())]
    cell = cells("subtyping", *folds)["all", "auroc"]
    assert cell["mean"] == 1
    assert cell["folds"] == 1
    assert cell["by_fold"] == "nan 1.0000"
    assert cell["why_undefined"] == "fold 0: only 1 class among the evaluation units"


def test_survival_is_scored_per_fold_and_never_pooled():
    # Perfect within each fold; the second fold's risks lie on another scale.
    folds = [
        FoldRows(survival_fold(0, [4, 3, 2, 1], [1, 1, 1, 0]), notes()),
        FoldRows(survival_fold(1, [400, 300, 200, 100], [1, 1, 0, 1]), notes()),
    ]
    cell = cells("survival", *folds)["all", "c_index"]
    assert (cell["mean"], cell["sd"]) == (1, 0)


def test_a_fold_without_events_is_undefined_in_survival():
    folds = [
        FoldRows(survival_fold(0, [1, 2, 3], [0, 0, 0]), notes()),
        FoldRows(survival_fold(1, [3, 2, 1], [1, 1, 1]), notes()),
    ]
    cell = cells("survival", *folds)["all", "c_index"]
    assert cell["mean"] == 1
    assert cell["why_undefined"] == "fold 0: no comparable pair (0 events)"


def test_the_deviation_between_seeds_is_that_of_the_printed_mean():
    """Folds of 6 and 3 events: pairs count in c_index_pairs, folds alike in c_index."""
    risks = {1: ([6, 5, 4, 3, 2, 1], [1, 2, 3]), 2: ([1, 2, 3, 4, 6, 5], [3, 2, 1]), 3: ([6, 5, 4, 1, 2, 3], [3, 1, 2])}
    folds = {
        k: [survival_fold(k, one[k], [1] * len(one[k])).assign(seed=s) for s, one in risks.items()] for k in (0, 1)
    }
    both = cells("survival", *(FoldRows(pd.concat(rows), notes()) for rows in folds.values()))
    alone = [cells("survival", *(FoldRows(rows[place], notes()) for rows in folds.values())) for place in range(3)]
    for metric in ("c_index", "c_index_pairs"):
        means = [one["all", metric]["mean"] for one in alone]
        assert both["all", metric]["mean"] == pytest.approx(np.mean(means))
        assert both["all", metric]["seed_sd"] == pytest.approx(np.std(means, ddof=1))
    assert both["all", "c_index"]["seed_sd"] != pytest.approx(both["all", "c_index_pairs"]["seed_sd"])


def outcomes(days: list[float], events: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"time_days": days, "event": events})


def test_metrics_with_weights_say_how_far_they_look_and_that_few_events_are_unstable():
    rows = survival_fold(2, [4, 3, 2, 1], [1, 1, 1, 0])
    scored = cells("survival", FoldRows(rows, notes(), outcomes([1, 2, 3, 9], [1, 0, 1, 1])))
    for metric in ("uno_c", "mean_t_auc", "ibs", "mean_brier"):
        assert scored["all", metric]["tau_days"] == "4"
        assert scored["all", metric]["unstable"] == "fewer than 10 evaluation events (fold 2: 3)"
    assert (scored["all", "c_index"]["tau_days"], scored["all", "c_index"]["unstable"]) == ("", "")
    many = survival_fold(0, list(range(20, 0, -1)), [1] * 20)
    assert cells("survival", FoldRows(many, notes(), outcomes([30, 40], [1, 0])))["all", "uno_c"]["unstable"] == ""


def test_curves_are_scored_where_the_bins_are_known():
    rows = survival_fold(0, [4, 3, 2, 1], [1, 1, 1, 0]).assign(surv_0=0.6, surv_1=0.2)
    train = outcomes([1, 2, 3, 9], [1, 0, 1, 1])
    known = cells("survival", FoldRows(rows, notes(note(bin_edges_days=[0.0, 2.0])), train))
    assert 0 < known["all", "ibs"]["mean"] < 1
    assert known["all", "d_calibration"]["mean"] > 0
    without = cells("survival", FoldRows(rows.drop(columns=["surv_0", "surv_1"]), notes(), train))["all", "ibs"]
    assert np.isnan(without["mean"])
    assert without["why_undefined"] == "fold 0: the method gives no survival function"


def test_curves_end_where_the_method_says_not_at_the_longest_time_of_patients_it_never_saw():
    rows = survival_fold(0, [4, 3, 2, 1], [1, 1, 1, 0]).assign(surv_0=0.6, surv_1=0.2)
    said = note(bin_edges_days=[0.0, 2.0], bin_ends_days=[2.0, 3.0], train_patients=2)
    part = FoldRows(rows, notes(said), outcomes([1, 2, 3, 900], [1, 0, 1, 1]), 2)
    at_own_time = predicted_curves(rows, part, followed_up(rows, part.train))[1]
    np.testing.assert_allclose(at_own_time, [0.8, 0.6, 0.2, 0.2])
    predicted = SurvivalPrediction(rows["risk"].to_numpy(), rows[["surv_0", "surv_1"]].to_numpy())
    new = survival_on(predicted, np.array([[1.0], [2], [3], [4]]), [0.0, 2.0], [2.0, 3.0])
    np.testing.assert_array_equal(at_own_time, new[:, 0], "as `mirrorflow predict` does")


def test_predictions_that_do_not_say_where_the_last_bin_ends_are_scored_where_all_patients_were_trained_on():
    rows = survival_fold(0, [4, 3, 2, 1], [1, 1, 1, 0]).assign(surv_0=0.6, surv_1=0.2)
    train = outcomes([1, 2, 3, 9], [1, 0, 1, 1])

    def scored(trained: int, **more: Any) -> dict[tuple[str, str], dict[str, Any]]:
        said = note(bin_edges_days=[0.0, 2.0], train_patients=trained, **more)
        return cells("survival", FoldRows(rows, notes(said), train, trained))

    names = ("ibs", "mean_brier", "d_calibration")
    for metric in names:
        before, now = (one["all", metric]["mean"] for one in (scored(4), scored(4, bin_ends_days=[2.0, 9.0])))
        assert before == now, metric
        lost = scored(3)["all", metric]
        assert np.isnan(lost["mean"])
        assert "delete the predictions and run again" in lost["why_undefined"]
    assert scored(3)["all", "c_index"]["mean"] == scored(4)["all", "c_index"]["mean"]


def test_a_fold_without_a_training_event_is_scored_like_any_other():
    rows = survival_fold(0, [4, 3, 2, 1], [1, 1, 1, 0]).assign(surv_0=0.6, surv_1=0.2)
    train = outcomes([3, 5, 7, 9], [0, 0, 0, 0])
    scored = cells("survival", FoldRows(rows, notes(note(bin_edges_days=[0.0, 2.0])), train))
    assert {metric: cell["mean"] for (_, metric), cell in scored.items() if np.isnan(cell["mean"])} == {}
    assert scored["all", "uno_c"]["tau_days"] == "4"


def test_without_training_patients_weighted_metrics_are_undefined():
    cell = cells("survival", FoldRows(survival_fold(0, [3, 2, 1], [1, 1, 0]), notes()))["all", "uno_c"]
    assert cell["why_undefined"] == "fold 0: no training patient with a known outcome"


def test_nothing_predicted_gives_no_cells():
    assert score_cells("survival", [], resamples=5, confidence=0.95, seed=0) == []
