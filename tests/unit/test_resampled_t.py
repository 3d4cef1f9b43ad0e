"""The corrected resampled t-test, by hand."""

import numpy as np
import pytest
from scipy import stats

from mirrorflow.metrics.inference import Draws, FoldSample, bootstrap, paired_difference, summarise
from mirrorflow.metrics.resampled_t import (
    TTest,
    contributions,
    detectable,
    evaluation_to_training,
    t_test,
    widening,
)

THREE = np.array([0.1, 0.2, 0.3])


def test_three_folds_by_hand():
    # s = 0.1; variance (1/3 + 1/2) * 0.01; t = 0.2 / 0.0912871 = 2.19089; with 2 degrees p = 1 - t / sqrt(t^2 + 2).
    found = t_test(THREE, 0.2, 0.5, 0.95)
    assert found.freedom == 2
    assert found.error == pytest.approx(0.0912871)
    assert found.p_value == pytest.approx(1 - 2.19089 / np.sqrt(2.19089**2 + 2))
    assert found.ci_high - 0.2 == pytest.approx(0.2 - found.ci_low) == pytest.approx(4.302653 * 0.0912871)


def test_without_training_it_is_students_t_test():
    assert t_test(THREE, 0.2, 0.0, 0.95).p_value == pytest.approx(stats.ttest_1samp(THREE, 0).pvalue)


def test_one_fold_has_no_test_and_folds_without_spread_are_sure():
    assert t_test(THREE[:1], 0.1, 0.25, 0.95) is None
    assert t_test(np.full(4, 0.1), 0.1, 0.25, 0.95).p_value == 0
    assert t_test(np.zeros(4), 0.0, 0.25, 0.95).p_value == 1


def test_the_widening_of_five_folds_is_one_and_a_half():
    assert evaluation_to_training([20, 20], [80, 80]) == 0.25
    assert widening(5, 0.25) == 1.5
    assert widening(5, evaluation_to_training([20], [None])) == 1
    assert widening(1, 0.25) == pytest.approx(np.sqrt(1.25))  # a single split


def test_what_folds_add_to_a_mean_over_pairs_by_hand():
    # 30 pairs at 0.6 and 10 at 0.8: mean 0.65; 0.65 + 2 * 0.75 * (-0.05) and 0.65 + 2 * 0.25 * 0.15.
    np.testing.assert_allclose(contributions(np.array([0.6, 0.8]), np.array([30.0, 10.0])), [0.575, 0.725])
    np.testing.assert_allclose(contributions(THREE, np.full(3, 7.0)), THREE)


def test_a_detectable_difference_is_found_in_four_of_five_studies():
    test = TTest(0.5, 0.02, 4, 0.0, 0.0)
    size = detectable(test, 0.001, 1.5, 0.05)
    threshold = stats.t.ppf(0.975, 4)
    assert stats.nct.sf(threshold, 4, size / 0.02) == pytest.approx(0.8)
    assert detectable(test, 0.001, 1.5, 0.05 / 10) > size  # after Holm over ten
    # Where the bootstrap is the less sure one: (1.96 + 1.5 * 0.8416) of its error.
    assert detectable(test, 1.0, 1.5, 0.05) == pytest.approx(1.959964 + 1.5 * 0.8416212)


def draws(values: list[float], spread: float = 0.0, counts: list[float] | None = None) -> Draws:
    """Folds of 20 patients each, trained on 80, with resamples of the given half width around each value."""
    shift = np.linspace(-spread, spread, 401)
    pairs = dict(enumerate(counts or []))
    return Draws(
        dict(enumerate(values)),
        {k: value + shift for k, value in enumerate(values)},
        {k: frozenset(f"{k}-{i}" for i in range(20)) for k in range(len(values))},
        pairs,
        {k: np.full(401, count) for k, count in pairs.items()},
        dict.fromkeys(range(len(values)), 80),
    )


def test_a_values_interval_is_one_and_a_half_times_the_bootstraps_and_stays_a_share():
    found = summarise(draws([0.6, 0.7, 0.8, 0.7, 0.7], 0.1), 0.95)
    assert (found.ci_low, found.ci_high) == (pytest.approx(0.7 - 1.5 * 0.095), pytest.approx(0.7 + 1.5 * 0.095))
    assert summarise(draws([0.9] * 5, 0.1), 0.95).ci_high == 1


def test_a_difference_leaves_zero_out_exactly_where_both_tests_find_it():
    none = draws([0.0] * 5)
    sure_patients = paired_difference(draws([0.1, -0.05, 0.2, 0.0, 0.1], 0.01), none, 0.95)
    assert sure_patients.p_value < 0.05 < sure_patients.t_test.p_value
    assert sure_patients.ci_low < 0 < sure_patients.ci_high
    sure_folds = paired_difference(draws([0.1, 0.1, 0.11, 0.1, 0.1], 0.3), none, 0.95)
    assert sure_folds.t_test.p_value < 0.05 < sure_folds.p_value
    assert sure_folds.ci_low < 0 < sure_folds.ci_high
    both = paired_difference(draws([0.1, 0.1, 0.11, 0.1, 0.1], 0.01), none, 0.95)
    assert max(both.p_value, both.t_test.p_value) < 0.05
    assert both.ci_low > 0


def test_a_single_split_has_a_wider_interval_and_no_t_test():
    found = paired_difference(draws([0.1], 0.01), draws([0.0]), 0.95)
    assert found.t_test is None
    assert found.ci_low == pytest.approx(0.1 - np.sqrt(1.25) * 0.0095)


def test_pairs_weigh_folds():
    found = summarise(draws([0.6, 0.8], 0.0, [30, 10]), 0.95)
    assert found.mean == pytest.approx(0.65)
    assert found.by_fold == (0.6, 0.8)
    difference = paired_difference(draws([0.6, 0.8], 0.0, [30, 10]), draws([0.5, 0.5], 0.0, [30, 10]), 0.95)
    assert difference.mean == pytest.approx(0.15)
    assert difference.t_test.error == pytest.approx(np.std([0.075, 0.225], ddof=1) * np.sqrt(1 / 2 + 1 / 4))


def test_resamples_weigh_folds_by_their_own_pairs():
    samples = [
        FoldSample(
            np.arange(4),
            lambda weights: {"share": weights[:, 0] / weights.sum(1)},
            number,
            lambda weights: {"share": weights[:, 1]},
            16,
        )
        for number in range(2)
    ]
    found = bootstrap(samples, resamples=50, seed=0)["share"]
    shares, counts = (np.stack([one[k] for k in range(2)]) for one in (found.resampled, found.resampled_counts))
    known = counts.sum(0) > 0
    np.testing.assert_allclose(found.means(), (shares * counts).sum(0)[known] / counts.sum(0)[known])
    assert len(found.means()) == known.sum() < 50
