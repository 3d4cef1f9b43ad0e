"""Metrics against scikit-learn, scikit-survival and lifelines on shared cases."""

from dataclasses import replace

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score
from sksurv.metrics import (
    brier_score,
    concordance_index_censored,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.util import Surv

from mirrorflow import metrics

SEEDS = range(8)


def subtyping_case(seed: int, classes: int, units: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, some of them tied, and true classes, each of which occurs."""
    rng = np.random.default_rng(seed)
    true = np.concatenate([np.arange(classes), rng.integers(classes, size=units - classes)])
    raw = rng.random((units, classes)).round(1) + 0.05 + 0.3 * np.eye(classes)[true]
    return raw / raw.sum(1, keepdims=True), true


def survival_case(seed: int, units: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Risk, times in days and events, with ties among risks and among times."""
    rng = np.random.default_rng(seed)
    return rng.integers(8, size=units) / 4.0, rng.integers(1, 15, size=units).astype(float), rng.random(units) < 0.5


def ones(units: int) -> np.ndarray:
    return np.ones((1, units))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_subtyping_metrics_are_scikit_learns(seed, classes):
    probabilities, true = subtyping_case(seed, classes)
    scores = metrics.subtyping_metrics(probabilities, true, ones(len(true)))
    predicted = probabilities.argmax(1)
    assert scores["accuracy"][0] == pytest.approx(accuracy_score(true, predicted))
    assert scores["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert scores["f1_macro"][0] == pytest.approx(f1_score(true, predicted, average="macro"))
    if classes == 2:
        assert scores["auroc"][0] == pytest.approx(roc_auc_score(true, probabilities[:, 1]))
    else:
        area = roc_auc_score(true, probabilities, multi_class="ovr", average="macro")
        assert scores["auroc"][0] == pytest.approx(area)


def test_macro_f1_with_an_absent_class_is_scikit_learns():
    probabilities, true = subtyping_case(0, 3)
    true = np.where(true == 2, 0, true)  # class 2 is predicted but not there
    score = metrics.f1_macro(metrics.confusion(probabilities, true, ones(len(true))))
    assert 2 in probabilities.argmax(1)
    assert score[0] == pytest.approx(f1_score(true, probabilities.argmax(1), average="macro"))


@pytest.mark.parametrize("seed", SEEDS)
def test_c_index_is_scikit_survivals(seed):
    risk, times, events = survival_case(seed)
    ours = metrics.c_index(risk, times, events, ones(len(risk)))[0]
    assert ours == pytest.approx(concordance_index_censored(events, times, risk)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_c_index_is_scikit_survivals_on_continuous_risks(seed):
    _, times, events = survival_case(seed)
    risk = np.random.default_rng(seed).normal(size=len(times))
    ours = metrics.c_index(risk, times, events, ones(len(risk)))[0]
    assert ours == pytest.approx(concordance_index_censored(events, times, risk)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_c_index_is_lifelines_with_tied_risks_and_tied_times(seed):
    risk, times, events = survival_case(seed)
    ours = metrics.c_index(risk, times, events, ones(len(risk)))[0]
    assert ours == pytest.approx(concordance_index(times, -risk, events))


# With censoring weights of other patients.


def train_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and events of training patients who are followed longer than any evaluation patient."""
    rng = np.random.default_rng(seed + 1000)
    return np.append(rng.integers(1, 20, size=80), 30).astype(float), np.append(rng.random(80) < 0.5, False)


def follow_up_of(seed: int) -> metrics.FollowUp:
    _, times, events = survival_case(seed)
    return metrics.follow_up(*train_case(seed), times, events)


def curves_of(risk: np.ndarray) -> np.ndarray:
    """Survival at the ends of bins that begin on days 0, 4, 8, 12; the riskier die earlier."""
    return np.exp(-np.exp(risk - 2)[:, None] * np.arange(1, 5))


def on_grid(curves: np.ndarray, followed: metrics.FollowUp) -> np.ndarray:
    return metrics.survival_at(followed.grid, curves, np.array([0.0, 4, 8, 12]), 30.0)


def survival(risk, times, events, weights, followed, curves) -> dict[str, np.ndarray]:
    own = metrics.survival_at(times[:, None], curves, np.array([0.0, 4, 8, 12]), 30.0)[:, 0]
    return metrics.survival_metrics(risk, times, events, weights, followed, on_grid(curves, followed), own)


def known(times: np.ndarray, events: np.ndarray) -> np.ndarray:
    return Surv.from_arrays(events, times)


@pytest.mark.parametrize("seed", SEEDS)
def test_unos_c_is_scikit_survivals(seed):
    risk, times, events = survival_case(seed)
    followed = follow_up_of(seed)
    ours = metrics.uno_c(risk, times, events, ones(len(risk)), followed)[0]
    train = known(*train_case(seed))
    assert ours == pytest.approx(concordance_index_ipcw(train, known(times, events), risk, tau=followed.tau)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_time_dependent_auc_is_scikit_survivals(seed):
    risk, times, events = survival_case(seed)
    followed = follow_up_of(seed)
    ours = metrics.mean_time_auc(risk, times, events, ones(len(risk)), followed)[0]
    train = known(*train_case(seed))
    assert ours == pytest.approx(cumulative_dynamic_auc(train, known(times, events), risk, followed.grid)[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_scores_are_scikit_survivals(seed):
    risk, times, events = survival_case(seed)
    followed = follow_up_of(seed)
    survival_on_grid = on_grid(curves_of(risk), followed)
    case = known(*train_case(seed)), known(times, events), survival_on_grid, followed.grid
    ours = metrics.brier_scores(survival_on_grid, times, events, ones(len(risk)), followed)[0]
    np.testing.assert_allclose(ours, brier_score(*case)[1])
    integrated = metrics.integrated_brier(survival_on_grid, times, events, ones(len(risk)), followed)[0]
    assert integrated == pytest.approx(integrated_brier_score(*case))
    mean = metrics.mean_brier(survival_on_grid, times, events, ones(len(risk)), followed)[0]
    assert mean == pytest.approx(brier_score(*case)[1].mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_d_calibration_is_that_of_numpys_histogram(seed):
    """A unit as many points: an event's all at its survival, a censored one's spread evenly below (Haider 2020)."""
    rng = np.random.default_rng(seed)
    survival, event, points = rng.random(30), rng.random(30) < 0.5, 20_000
    middles = (np.arange(points) + 0.5) / points
    spread = np.concatenate(
        [np.full(points, s) if happened else middles * s for s, happened in zip(survival, event, strict=True)]
    )
    shares = np.histogram(spread, bins=10, range=(0, 1))[0] / len(spread)
    ours = metrics.d_calibration(survival, event, ones(30))[0]
    assert ours == pytest.approx(((shares - 0.1) ** 2).sum(), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_censoring_survival_is_lifelines(seed):
    train_times, train_events = train_case(seed)
    times = survival_case(seed)[1]
    followed = follow_up_of(seed)
    # lifelines lets events go before censorings of the same day once the day of an event is moved forward a little.
    fitter = KaplanMeierFitter().fit(train_times - 1e-6 * train_events, ~train_events)
    early = times < followed.tau
    expected = fitter.survival_function_at_times(times[early]).to_numpy()
    np.testing.assert_allclose(followed.uncensored[early], expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_error_is_that_of_scikit_learns_calibration_curve(seed):
    probabilities, true = subtyping_case(seed, 3)
    sure, right = probabilities.max(1), probabilities.argmax(1) == true
    share_right, mean_sure = calibration_curve(right, sure, n_bins=10, strategy="uniform")
    counts = np.bincount(np.digitize(sure, np.linspace(0, 1, 11)[1:-1], right=True), minlength=10)
    expected = (np.abs(share_right - mean_sure) * counts[counts > 0]).sum() / len(sure)
    ours = metrics.expected_calibration_error(probabilities, true, ones(len(true)))[0]
    assert ours == pytest.approx(expected)


def test_macro_f1_over_the_fixed_list_is_scikit_learns():
    probabilities, true = subtyping_case(0, 4)
    true = np.where(true >= 2, 0, true)
    probabilities[:, 3] = 0  # class 3 is neither there nor predicted, class 2 only predicted
    score = metrics.f1_macro(metrics.confusion(probabilities, true, ones(len(true))))
    expected = f1_score(true, probabilities.argmax(1), labels=range(4), average=None, zero_division=np.nan)
    assert np.isnan(expected).sum() == 1
    assert score[0] == pytest.approx(np.nanmean(expected))


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_repetitions(seed):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=3)
    probabilities, true = subtyping_case(seed, 3)
    risk, times, events = survival_case(seed)
    weighted = metrics.subtyping_metrics(probabilities, true, counts.astype(float))
    followed, curves = follow_up_of(seed), curves_of(risk)
    weighted |= survival(risk, times, events, counts.astype(float), followed, curves)
    for row, count in enumerate(counts):
        again = np.repeat(np.arange(40), count)
        repeated = metrics.subtyping_metrics(probabilities[again], true[again], ones(40))
        part = replace(followed, uncensored=followed.uncensored[again])
        repeated |= survival(risk[again], times[again], events[again], ones(40), part, curves[again])
        for name, values in repeated.items():
            assert weighted[name][row] == pytest.approx(values[0]), name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeated_sample_scores_as_in_the_libraries(seed):
    rng = np.random.default_rng(seed)
    count = rng.multinomial(40, np.full(40, 1 / 40))
    again = np.repeat(np.arange(40), count)
    probabilities, true = subtyping_case(seed, 2)
    risk, times, events = survival_case(seed)
    weights = count.astype(float)[None]
    subtype = metrics.subtyping_metrics(probabilities, true, weights)
    assert subtype["accuracy"][0] == pytest.approx(accuracy_score(true[again], probabilities[again].argmax(1)))
    assert subtype["auroc"][0] == pytest.approx(roc_auc_score(true[again], probabilities[again, 1]))
    ours = metrics.c_index(risk, times, events, weights)[0]
    assert ours == pytest.approx(concordance_index_censored(events[again], times[again], risk[again])[0])
