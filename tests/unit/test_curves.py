"""Curves over folds: they are the tables' metrics, point by point; what cannot be drawn says why."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.evaluation import FoldRows, score_method
from mirrorflow.evaluation.bands import Resampling, band, widening_of
from mirrorflow.evaluation.operating import _reliability, operating, wilson
from mirrorflow.evaluation.over_time import Promised, over_time
from mirrorflow.figures.operating import draw_operating
from mirrorflow.figures.over_time import draw_over_time
from mirrorflow.figures.style import to_svg
from mirrorflow.metrics import brier_scores, follow_up
from mirrorflow.steps.results.curve_figures import _operating_table, operating_spec
from mirrorflow.store.predictions import subtype_rows, survival_rows

HOW = Resampling(100, 0, 0.95)
EDGES = [0.0, 300.0, 700.0, 1200.0]


def named(fold: int, n: int) -> list[str]:
    return [f"{fold}-{i}" for i in range(n)]


def classified(classes: list[str], n: int = 40, seeds: int = 1, signal: float = 1.0) -> list[FoldRows]:
    rng, parts = np.random.default_rng(0), []
    for fold in range(3):
        labels = rng.integers(0, len(classes), n)
        units = pd.DataFrame(
            {"patient": [f"{fold}-{i}" for i in range(n)], "slide_id": "", "label": np.array(classes)[labels]}
        )
        rows = []
        for seed in range(seeds):
            logits = rng.normal(size=(n, len(classes))) + signal * np.eye(len(classes))[labels]
            exp = np.exp(logits)
            rows.append(subtype_rows(units, exp / exp.sum(1, keepdims=True), classes).assign(seed=seed))
        whole = pd.concat(rows, ignore_index=True).assign(fold=fold, setting="all")
        parts.append(FoldRows(whole, {"classes": classes, "settings": []}, n_train=2 * n))
    return parts


def survived(curves: bool = True, n: int = 60, signal: float = 1.0) -> list[FoldRows]:  # noqa: FBT001, FBT002
    rng, parts = np.random.default_rng(1), []
    for fold in range(3):
        hidden = rng.normal(size=n)
        times = rng.exponential(900 * np.exp(-signal * hidden)) + 1
        seen = times < 1500
        units = pd.DataFrame(
            {
                "patient": [f"{fold}-{i}" for i in range(n)],
                "slide_id": "",
                "time_days": np.minimum(times, 1500),
                "event": seen,
            }
        )
        hazards = 1 / (1 + np.exp(1.2 - hidden[:, None] * np.ones(4)))
        found = survival_rows(units, hidden, np.cumprod(1 - hazards, axis=1) if curves else None)
        note = {"setting": "all", "bin_edges_days": EDGES, "k_real": None, "lost_units": []}
        train = pd.DataFrame({"time_days": np.minimum(rng.exponential(900, 120) + 1, 1500)}).assign(
            event=lambda f: f.time_days < 1500
        )
        parts.append(FoldRows(found.assign(seed=0, fold=fold, setting="all"), {"settings": [note]}, train, 120))
    return parts


def test_the_area_under_the_mean_roc_is_the_tables_auroc():
    parts = classified(["a", "b"])
    found = operating(parts, HOW)
    assert list(found.roc) == ["b"]
    cells = score_method("subtyping", parts, resamples=0, confidence=0.95, seed=0)
    auroc = next(cell.row["mean"] for cell in cells if cell.row["metric"] == "auroc")
    assert np.trapezoid(found.roc["b"].mean, found.roc["b"].where) == pytest.approx(auroc, abs=0.02)
    accuracy = next(cell.row["mean"] for cell in cells if cell.row["metric"] == "accuracy")
    assert found.confusion.trace() / found.confusion.sum() == pytest.approx(accuracy)


def test_bands_hold_their_means_and_widen_with_shared_training_patients():
    parts = classified(["a", "b", "c"], seeds=2)
    found = operating(parts, HOW)
    assert set(found.roc) == set(found.precision) == {"a", "b", "c"}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.confusion.sum() == pytest.approx(120), "units, seeds averaged"
    for one in [*found.roc.values(), *found.precision.values()]:
        assert (one.low <= one.mean + 1e-9).all()
        assert (one.mean <= one.high + 1e-9).all()
    assert widening_of(parts) == pytest.approx(np.sqrt(1 + 3 / 2))
    curves = [np.array([[0.5], [0.4], [0.6]])]
    plain, wide = band(np.zeros(1), curves, 1.0, 0.9), band(np.zeros(1), curves, 2.0, 0.9)
    assert wide.high[0] - wide.low[0] == pytest.approx(2 * (plain.high[0] - plain.low[0]))


def test_a_fold_without_a_class_has_no_curve_of_it():
    parts = classified(["a", "b", "c"])
    parts[0].rows["label"] = parts[0].rows["label"].replace("c", "a")
    whole = operating(parts, HOW).roc["c"].mean
    others = operating(parts[1:], HOW).roc["c"].mean
    assert whole == pytest.approx(others)


def test_bands_widen_by_the_folds_that_have_the_curve():
    parts = classified(["a", "b"])
    parts[0].rows["label"] = "a"
    whole, others = operating(parts, HOW), operating(parts[1:], HOW)
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(getattr(whole.roc["b"], name), getattr(others.roc["b"], name))
        np.testing.assert_allclose(getattr(whole.precision["b"], name), getattr(others.precision["b"], name))
    assert widening_of(parts) > widening_of(parts[1:])


@pytest.mark.parametrize("n", [5, 10, 50, 100])
def test_fifths_are_fifths(n):
    seen = np.ones(n)
    assert np.bincount(Promised(1.0, np.arange(n) / n, seen, seen).groups()).tolist() == [n // 5] * 5


def test_equal_promises_are_in_one_fifth():
    seen = np.ones(10)
    assert set(Promised(1.0, seen, seen, seen).groups()) == {2}
    tied = np.array([0.1, 0.1, 0.1, *np.arange(7) / 10 + 0.2])
    assert Promised(1.0, tied, seen, seen).groups()[:3].tolist() == [0] * 3


def test_reliability_counts_every_unit_with_wilsons_interval():
    found = operating(classified(["a", "b"]), HOW).reliability
    assert found.units.sum() == 120
    assert ((found.low <= found.right) & (found.right <= found.high)).all()
    middle, half = wilson(np.array([8.0]), np.array([10.0]))
    assert (middle - half, middle + half) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


def test_a_unit_of_several_seeds_is_one_unit():
    (part,) = classified(["a", "b"])[:1]
    copies = [replace(part, rows=pd.concat([part.rows.assign(seed=seed) for seed in range(n)])) for n in (1, 5)]
    one, five = (_reliability([copy], ("a", "b")) for copy in copies)
    for name in ("said", "right", "low", "high", "units"):
        np.testing.assert_allclose(getattr(one, name), getattr(five, name))


def test_evaluation_units_of_one_class_are_said_and_not_drawn(monkeypatch):
    parts = [replace(part, rows=part.rows.assign(label="a")) for part in classified(["a", "b"])]
    drawn = SimpleNamespace(folds=lambda manifest, task: parts, how=HOW, words=lambda manifest: ("t", "w"))
    with pytest.raises(InputError, match="two classes: nothing is told apart"):
        operating_spec(Path("m"), drawn)


def test_the_table_has_the_matrix_and_the_reliability():
    found = operating(classified(["a", "b"], seeds=2), HOW)
    table = _operating_table(found)
    matrix = table[table["curve"] == "confusion"].pivot_table(index="of", columns="predicted", values="mean")
    np.testing.assert_allclose(matrix.to_numpy(), found.confusion)
    tenths = table[table["curve"] == "reliability"]
    np.testing.assert_allclose(tenths[["at", "mean", "low", "units"]].to_numpy()[:, 1], found.reliability.right)
    assert tenths["units"].sum() == pytest.approx(found.confusion.sum())


def test_auc_by_day_tells_a_signal_from_none():
    strong, none = (over_time(survived(signal=s), HOW) for s in (2.0, 0.0))
    assert strong.auc.mean.mean() > 0.8
    assert abs(none.auc.mean.mean() - 0.5) < 0.1
    assert (strong.auc.low <= strong.auc.mean).all()
    assert (strong.auc.mean <= strong.auc.high).all()


def test_brier_scores_are_those_of_the_metric_on_shared_days():
    parts = survived()
    found = over_time(parts, HOW)
    assert found.brier is not None
    assert found.of_everyone is not None
    scores = []
    for part in parts:
        rows, train = part.rows, part.train
        days, events = rows["time_days"].to_numpy(float), rows["event"].to_numpy(bool)
        followed = follow_up(
            train["time_days"].to_numpy(float), train["event"].to_numpy(bool), days, events, found.brier.where
        )
        knots, curve = np.array([0, *EDGES[1:], train["time_days"].max()]), rows.filter(like="surv_").to_numpy()
        said = np.stack([np.interp(found.brier.where, knots, [1, *one]) for one in curve])
        scores.append(brier_scores(said, days, events, np.ones((1, len(rows))), followed)[0])
    assert found.brier.mean == pytest.approx(np.mean(scores, axis=0))
    assert found.promised is not None
    assert np.bincount(found.promised.groups()).tolist() == pytest.approx([36] * 5, abs=1)


def test_a_method_without_survival_functions_has_one_panel():
    found = over_time(survived(curves=False), HOW)
    assert found.brier is found.promised is None
    assert len(draw_over_time(found, "cox").axes) == 1
    assert len(draw_over_time(over_time(survived(), HOW), "tta").axes) == 3


def test_folds_without_events_do_not_count_and_none_at_all_is_said():
    parts = survived()
    parts[0].rows["event"] = False
    assert over_time(parts, HOW).folds == 2
    for part in parts:
        part.rows["event"] = False
    with pytest.raises(InputError, match="no fold can be followed: no evaluation event"):
        over_time(parts, HOW)


def test_folds_that_share_no_days_are_said():
    parts = survived()
    parts[0].rows["time_days"] = parts[0].rows["time_days"] / 1e4 + 0.001
    with pytest.raises(InputError, match="folds share no days: one has its first event at day"):
        over_time(parts, HOW)


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c", "d", "e"]])
def test_classes_are_drawn_with_their_names_and_counts(classes):
    figure = draw_operating(operating(classified(classes, seeds=2), HOW), "abmil · demo")
    shown = " ".join(text.get_text() for axes in figure.axes for text in [*axes.texts, *axes.get_xticklabels()])
    assert all(name in shown for name in classes)
    assert to_svg(figure) == to_svg(draw_operating(operating(classified(classes, seeds=2), HOW), "abmil · demo"))
