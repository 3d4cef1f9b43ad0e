"""Metrics against scikit-learn, scikit-survival and lifelines on shared cases."""

import numpy as np
import pytest
from lifelines.utils import concordance_index
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score
from sksurv.metrics import concordance_index_censored

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


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_repetitions(seed):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=3)
    probabilities, true = subtyping_case(seed, 3)
    risk, times, events = survival_case(seed)
    weighted = metrics.subtyping_metrics(probabilities, true, counts.astype(float))
    weighted |= metrics.survival_metrics(risk, times, events, counts.astype(float))
    for row, count in enumerate(counts):
        again = np.repeat(np.arange(40), count)
        repeated = metrics.subtyping_metrics(probabilities[again], true[again], ones(40))
        repeated |= metrics.survival_metrics(risk[again], times[again], events[again], ones(40))
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
