import numpy as np
import pytest

from mirrorflow.inference import FoldSample, estimate, resample_weights


def mean_of(values: np.ndarray, patients: np.ndarray | None = None) -> FoldSample:
    """A fold whose metric is the weighted mean of ``values``."""

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": weights @ values / weights.sum(1)}

    names = np.arange(len(values)) if patients is None else patients
    return FoldSample(names, score)


def fixed(*by_resample: float) -> FoldSample:
    """A fold whose metric does not depend on the units: the first value on the fold itself, then the draws."""

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": np.resize(by_resample[1:] if len(weights) > 1 else by_resample[:1], len(weights))}

    return FoldSample(np.arange(3), score)


def test_a_patients_units_are_resampled_together():
    patients = np.array(["a", "b", "a", "c", "b", "a"])
    weights = resample_weights(patients, 200, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()  # as many patients as there are
    assert weights[:, 0].std() > 0
    assert (weights[:, 0] != weights[:, 1]).any()


def test_mean_and_deviation_over_folds_by_hand():
    folds = [mean_of(np.array([0.0, 1])), mean_of(np.array([1.0, 1])), mean_of(np.array([0.0, 0]))]
    result = estimate(folds, resamples=50, confidence=0.95, seed=0)["mean"]
    assert result.by_fold == (0.5, 1.0, 0.0)
    assert result.mean == 0.5
    assert result.sd == pytest.approx(0.5)  # ddof 1
    assert result.folds == 3


def test_the_interval_contains_the_mean_and_grows_with_confidence():
    rng = np.random.default_rng(0)
    folds = [mean_of(rng.normal(size=30)) for _ in range(5)]
    narrow = estimate(folds, resamples=500, confidence=0.5, seed=1)["mean"]
    wide = estimate(folds, resamples=500, confidence=0.95, seed=1)["mean"]
    assert wide.ci_low < narrow.ci_low < narrow.mean < narrow.ci_high < wide.ci_high
    assert narrow.mean == wide.mean


def test_the_interval_follows_from_the_seed():
    folds = [mean_of(np.random.default_rng(0).normal(size=30)) for _ in range(2)]
    again = [estimate(folds, resamples=100, confidence=0.95, seed=7)["mean"] for _ in range(2)]
    other = estimate(folds, resamples=100, confidence=0.95, seed=8)["mean"]
    assert again[0] == again[1]
    assert again[0].ci_low != other.ci_low
    assert again[0].mean == other.mean


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # The mean of three folds of 20 draws from N(0, 1); nominal coverage 90%.
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        folds = [mean_of(rng.normal(size=20)) for _ in range(3)]
        result = estimate(folds, resamples=200, confidence=0.9, seed=trial)["mean"]
        covered += result.ci_low <= 0 <= result.ci_high
    assert 0.82 <= covered / 200 <= 0.95


def test_clustered_units_widen_the_interval():
    # Ten patients with four identical slides each hold ten values, not forty.
    values = np.repeat(np.random.default_rng(0).normal(size=10), 4)
    patients = np.repeat(np.arange(10), 4)
    clustered = estimate([mean_of(values, patients)], resamples=400, confidence=0.95, seed=0)["mean"]
    naive = estimate([mean_of(values)], resamples=400, confidence=0.95, seed=0)["mean"]
    assert clustered.ci_high - clustered.ci_low > 1.5 * (naive.ci_high - naive.ci_low)


def test_folds_are_resampled_within_themselves():
    # Two folds without any spread of their own, far apart: pooling them would give a wide interval.
    folds = [mean_of(np.zeros(20)), mean_of(np.ones(5))]
    result = estimate(folds, resamples=100, confidence=0.95, seed=0)["mean"]
    assert (result.mean, result.ci_low, result.ci_high) == (0.5, 0.5, 0.5)


def test_an_undefined_fold_is_left_out():
    folds = [fixed(np.nan, np.nan), fixed(0.4, 0.4), fixed(0.6, 0.6)]
    result = estimate(folds, resamples=10, confidence=0.95, seed=0)["mean"]
    assert result.mean == pytest.approx(0.5)
    assert result.folds == 2
    assert (result.ci_low, result.ci_high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_a_resample_undefined_in_a_fold_averages_the_others():
    folds = [fixed(0.2, np.nan, 0.2), fixed(0.6, 0.6)]
    result = estimate(folds, resamples=4, confidence=0.98, seed=0)["mean"]
    assert result.mean == pytest.approx(0.4)
    assert 0.4 <= result.ci_low < result.ci_high <= 0.6


def test_undefined_everywhere_is_nan():
    result = estimate([fixed(np.nan, np.nan)], resamples=10, confidence=0.95, seed=0)["mean"]
    assert np.isnan([result.mean, result.sd, result.ci_low, result.ci_high]).all()
    assert result.folds == 0


def test_one_fold_has_no_deviation_and_no_resamples_no_interval():
    result = estimate([mean_of(np.array([0.0, 1]))], resamples=0, confidence=0.95, seed=0)["mean"]
    assert result.mean == 0.5
    assert np.isnan([result.sd, result.ci_low, result.ci_high]).all()
