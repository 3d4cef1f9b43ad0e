from dataclasses import replace

import numpy as np
import pytest

from mirrorflow.metrics import inference
from mirrorflow.metrics.inference import (
    FoldSample,
    bootstrap,
    holm,
    not_rejected,
    paired_difference,
    resample_weights,
    two_sided_p,
)


def numbered(folds: list[FoldSample]) -> list[FoldSample]:
    return [replace(fold, number=number) for number, fold in enumerate(folds)]


def estimate(folds: list[FoldSample], **settings) -> dict[str, inference.Estimate]:
    return inference.estimate(numbered(folds), **settings)


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


def test_a_fold_number_stands_once():
    with pytest.raises(ValueError, match="a number stands twice"):
        bootstrap([fixed(0.1), fixed(0.2)], resamples=0, seed=0)


# Paired differences.


def draws(*folds: FoldSample, resamples: int = 400) -> inference.Draws:
    return bootstrap(numbered(list(folds)), resamples=resamples, seed=3)["mean"]


def test_the_same_patients_see_the_same_resamples_whatever_other_folds_there_are():
    values = np.random.default_rng(0).normal(size=30)
    alone = bootstrap([FoldSample(np.arange(30), mean_of(values).score, 1)], resamples=50, seed=3)["mean"]
    both = draws(mean_of(values), mean_of(values), resamples=50)
    np.testing.assert_array_equal(alone.resampled[1], both.resampled[1])
    assert (both.resampled[0] != both.resampled[1]).any()


def test_a_constant_advantage_has_no_spread_when_paired():
    values = np.random.default_rng(0).normal(size=40)
    difference = paired_difference(draws(mean_of(values + 0.1)), draws(mean_of(values)), 0.95)
    assert difference.mean == pytest.approx(0.1)
    assert (difference.ci_low, difference.ci_high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert difference.p_value == pytest.approx(2 / 401)


def test_equal_methods_are_not_told_apart_and_order_turns_the_sign():
    rng = np.random.default_rng(0)
    values, others = rng.normal(size=40), rng.normal(size=40)
    same = paired_difference(draws(mean_of(values)), draws(mean_of(values)), 0.95)
    assert (same.mean, same.p_value) == (0, 1)
    there = paired_difference(draws(mean_of(values)), draws(mean_of(others)), 0.95)
    back = paired_difference(draws(mean_of(others)), draws(mean_of(values)), 0.95)
    assert (there.mean, there.ci_low, there.p_value) == pytest.approx((-back.mean, -back.ci_high, back.p_value))


def test_folds_of_other_patients_are_not_paired():
    one = draws(mean_of(np.ones(5)), mean_of(np.ones(5)))
    other = draws(mean_of(np.zeros(5)), mean_of(np.zeros(5), np.arange(100, 105)))
    assert paired_difference(one, other, 0.95).mean == 1
    stranger = draws(mean_of(np.zeros(5), np.arange(100, 105)))
    assert np.isnan(paired_difference(one, stranger, 0.95).mean)


def test_without_resamples_a_difference_has_neither_interval_nor_p():
    difference = paired_difference(draws(fixed(0.5), resamples=0), draws(fixed(0.2), resamples=0), 0.95)
    assert difference.mean == pytest.approx(0.3)
    assert np.isnan([difference.ci_low, difference.p_value]).all()


def test_the_p_value_counts_the_smaller_side_twice():
    assert two_sided_p(np.array([1.0, 1, 1, -1])) == pytest.approx(2 * 2 / 5)
    assert two_sided_p(np.array([1.0, -1])) == 1
    assert np.isnan(two_sided_p(np.array([])))


@pytest.mark.parametrize("count", [20, 39, 40, 100, 200, 999, 1000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_leaves_0_out_exactly_where_the_bootstrap_rejects_it(count, confidence):
    for below in range(min(count, 60)):
        differences = np.r_[np.full(below, -0.001), np.full(count - below, 0.1)]
        low, high = not_rejected(differences, confidence)
        assert (not low <= 0 <= high) == (two_sided_p(differences) < 1 - confidence), below
        assert not_rejected(-differences, confidence) == (-high, -low)
    assert np.isnan(not_rejected(np.array([]), confidence)).all()


def test_an_interval_leaves_0_out_exactly_where_both_tests_find_a_difference():
    rng, seen = np.random.default_rng(2), set()
    for number in range(120):
        ours, theirs = (
            draws(*(mean_of(rng.normal(shift, 1, 20)) for _ in range(3)), resamples=60) for shift in (number / 80, 0.0)
        )
        found = paired_difference(ours, theirs, 0.9)
        assert found.t_test is not None
        both = max(found.p_value, found.t_test.p_value) < 1 - 0.9
        assert (not found.ci_low <= 0 <= found.ci_high) == both
        seen.add((found.p_value < 0.1, found.t_test.p_value < 0.1))
    assert len(seen) > 2


def test_p_values_hold_their_level_when_nothing_differs():
    rng = np.random.default_rng(5)
    small = 0
    for _ in range(200):
        one, other = (draws(mean_of(rng.normal(size=40)), resamples=200) for _ in range(2))
        small += paired_difference(one, other, 0.95).p_value < 0.1
    assert small / 200 < 0.17


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.5])), [0.04, np.nan, 0.5])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert len(holm(np.array([]))) == 0
