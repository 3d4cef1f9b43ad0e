"""Cox over a batch: values against lifelines and statsmodels' formulas, batches by event, Breslow's baseline."""

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.linear_model.coxph import BreslowEstimator
from sksurv.util import Surv

from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.probes import cox
from mirrorflow.probes.objective import Cox, target_tensors
from mirrorflow.probes.partial_likelihood import Baseline, cox_loss
from mirrorflow.probes.task import Asked, SurvivalPrediction, Targets
from mirrorflow.training.batches import event_batches


def tied_cohort(count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One covariate, times in whole months (many ties), events."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=count)
    times = np.ceil(rng.exponential(8 * np.exp(-0.8 * x)))
    return x, times, rng.random(count) < 0.7


def minimum(ties: str) -> float:
    """The coefficient that minimises the loss over the whole cohort as one batch, by bisection of its gradient."""
    x, times, event = (torch.as_tensor(one) for one in tied_cohort())
    low, high = -3.0, 3.0
    for _ in range(60):
        beta = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        cox_loss(beta * x, times, event, ties).backward()
        low, high = (low, beta.item()) if beta.grad > 0 else (beta.item(), high)
    return (low + high) / 2


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_minimum_is_scikit_survivals_estimate(ties):
    x, times, event = tied_cohort()
    model = CoxPHSurvivalAnalysis(ties=ties, tol=1e-12, n_iter=200).fit(x[:, None], Surv.from_arrays(event, times))
    assert minimum(ties) == pytest.approx(model.coef_[0], abs=1e-6)


def test_efrons_minimum_is_lifelines_and_not_breslows():
    x, times, event = tied_cohort()
    expected = CoxPHFitter().fit(pd.DataFrame({"x": x, "T": times, "E": event}), "T", "E").params_["x"]
    assert minimum("efron") == pytest.approx(expected, abs=2e-4)  # lifelines stops earlier
    assert abs(minimum("breslow") - minimum("efron")) > 1e-3


def test_the_likelihood_of_three_patients_by_hand():
    risk = torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64)
    times, event = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, False])
    hazard = risk.exp()
    expected = -((risk[0] - hazard.sum().log()) + (risk[1] - hazard[1:].sum().log())) / 2
    for ties in ("efron", "breslow"):
        assert float(cox_loss(risk, times, event, ties)) == pytest.approx(float(expected))
    tied = torch.tensor([1.0, 1.0, 3.0])
    half = hazard.sum() - (hazard[0] + hazard[1]) / 2
    efron = -(risk[0] + risk[1] - hazard.sum().log() - half.log()) / 2
    assert float(cox_loss(risk, tied, event, "efron")) == pytest.approx(float(efron))


def test_a_batch_without_an_event_gives_nothing_and_a_gradient_of_nothing():
    risk = torch.tensor([0.3, 0.4], requires_grad=True)
    loss = cox_loss(risk, torch.tensor([1.0, 2.0]), torch.tensor([False, False]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert risk.grad.tolist() == [0, 0]


def test_extreme_risks_stay_finite():
    risk = torch.tensor([300.0, -300.0, 0.0], requires_grad=True)
    loss = cox_loss(risk, torch.tensor([2.0, 1.0, 3.0]), torch.tensor([True, True, False]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(risk.grad).all()


@pytest.mark.parametrize(("count", "events", "size"), [(100, 37, 16), (33, 3, 8), (20, 20, 16), (10, 0, 4), (7, 2, 16)])
def test_every_batch_has_its_share_of_events_and_every_unit_comes_once(count, events, size):
    rng = np.random.default_rng(0)
    event = rng.permutation(np.arange(count) < events)
    batches = event_batches(rng.permutation(count), event, size)
    assert len(batches) == -(-count // size)
    assert sorted(np.concatenate(batches)) == list(range(count))
    shares = [int(event[rows].sum()) for rows in batches]
    assert max(shares) - min(shares) <= 1
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert (min(shares) >= 1) == (events >= len(batches))


def test_batches_of_events_bias_no_hazard_ratio():
    """Mini-batches with the cohort's own share of events find the coefficient of the whole cohort."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=600)
    times, event = rng.exponential(np.exp(-1.0 * x)), rng.random(600) < 0.3
    data = [torch.as_tensor(one) for one in (x, times, event)]
    beta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([beta], lr=0.2)
    for epoch in range(40):
        optimizer.param_groups[0]["lr"] = 0.2 / (1 + epoch)
        for rows in event_batches(rng.permutation(600), event, 32):
            optimizer.zero_grad()
            cox_loss(beta * data[0][rows], data[1][rows], data[2][rows]).backward()
            optimizer.step()
    whole = CoxPHFitter().fit(pd.DataFrame({"x": x, "T": times, "E": event}), "T", "E").params_["x"]
    assert beta.item() == pytest.approx(whole, abs=0.1)


def test_the_baseline_is_breslows_at_the_mean_risk_and_survival_reads_it():
    risk = np.array([0.2, 1.0, -0.4, 0.0])
    times, event = np.array([10.0, 20.0, 30.0, 40.0]), np.array([True, False, True, True])
    baseline = Baseline.fit(risk, times, event)
    weight = np.exp(risk - risk.mean())
    steps = np.cumsum([1 / weight.sum(), 1 / weight[2:].sum(), 1 / weight[3:].sum()])
    survival = baseline.survival(np.array([0.5]), np.array([5.0, 10.0, 35.0, 999.0]))
    expected = np.exp(-np.array([0.0, steps[0], steps[1], steps[2]]) * np.exp(0.5 - risk.mean()))
    np.testing.assert_allclose(survival[0], expected)


def baseline_summed_directly(risk: np.ndarray, times: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Cumulative hazard after each distinct time: every risk set is added up by itself."""
    weight, distinct = np.exp(risk - risk.mean()), np.unique(times)
    return np.cumsum([(event & (times == time)).sum() / weight[times >= time].sum() for time in distinct])


def test_ordinary_risks_have_scikit_survivals_baseline():
    x, times, event = tied_cohort(200)
    expected = BreslowEstimator().fit(x - x.mean(), event, times).cum_baseline_hazard_
    baseline = Baseline.fit(x, times, event)
    np.testing.assert_array_equal(baseline.days, expected.x)
    np.testing.assert_allclose(baseline.hazard, expected.y, rtol=1e-12)


@pytest.mark.parametrize("above", [30.0, 38.0, 42.0, 49.0])
def test_one_unit_far_above_the_rest_leaves_their_risk_sets_as_they_are(above):
    """It leaves first: what it added to the sums must not be taken out of them again."""
    rng = np.random.default_rng(0)
    times, event = np.sort(rng.exponential(1000, 100)), rng.random(100) < 0.6
    risk = rng.normal(0, 0.5, 100)
    risk[0] = above
    baseline = Baseline.fit(risk, times, event)
    np.testing.assert_allclose(baseline.hazard, baseline_summed_directly(risk, times, event), rtol=1e-12)
    survival = baseline.survival(risk[1:], np.array([750.0]))
    assert 0.2 < np.median(survival) < 0.8


@pytest.mark.parametrize("span", [36.0, 60.0, 95.0])
def test_well_ordered_risks_of_a_wide_span_keep_survival_between_0_and_1(span):
    times, event = np.arange(1.0, 101.0), np.ones(100, bool)
    risk = np.linspace(span / 2, -span / 2, 100)
    baseline = Baseline.fit(risk, times, event)
    np.testing.assert_allclose(baseline.hazard, baseline_summed_directly(risk, times, event), rtol=1e-12)
    survival = baseline.survival(risk, np.array([10.5, 50.5, 99.5]))
    assert ((survival >= 0) & (survival <= 1)).all()
    assert (np.diff(survival, axis=1) <= 0).all()


def test_a_cox_regression_of_a_wide_span_has_the_baseline_of_its_risk_sets():
    """An almost unpenalised fit to vectors in the order of death: its risks span 47 log units."""
    times, event = np.arange(1.0, 41.0), np.ones(40, bool)
    targets = Targets(pd.DataFrame(index=range(40)), time_days=times, event=event, bins=np.zeros(40, int))
    vectors = np.linspace(1, -1, 40)[:, None]
    model = cox.fit_cox(vectors, targets, components=1, alpha=0.1)
    prediction = model.predict(vectors, Asked(0, np.array([10.5, 30.5])))
    assert np.ptp(prediction.risk) > 40
    np.testing.assert_array_equal(model.time_days, times)
    np.testing.assert_allclose(model.baseline, baseline_summed_directly(prediction.risk, times, event), rtol=1e-12)


def test_an_ordinary_cox_regression_has_scikit_survivals_baseline():
    x, times, event = tied_cohort(200)
    targets = Targets(pd.DataFrame(index=range(200)), time_days=times, event=event, bins=np.zeros(200, int))
    model = cox.fit_cox(x[:, None], targets, components=1, alpha=1.0)
    vectors = model.pca.transform(model.scaler.transform(x[:, None]))
    theirs = CoxPHSurvivalAnalysis(alpha=1.0, n_iter=200).fit(vectors, Surv.from_arrays(event, times))
    np.testing.assert_array_equal(model.time_days, theirs.cum_baseline_hazard_.x)
    np.testing.assert_allclose(model.baseline, theirs.cum_baseline_hazard_.y, rtol=1e-12)


def test_risks_beyond_the_bounds_stay_finite():
    baseline = Baseline.fit(np.array([900.0, -900.0, 0.0]), np.array([1.0, 2.0, 3.0]), np.array([True, True, True]))
    assert np.isfinite(baseline.hazard).all()
    assert np.isfinite(baseline.survival(np.array([900.0, -900.0]), np.array([2.5]))).all()


def test_the_objective_reads_survival_off_the_training_units_baseline():
    _, times, event = tied_cohort()
    targets = Targets(pd.DataFrame(index=range(60)), time_days=times, event=event, bins=np.zeros(60, int))
    objective = Cox(targets, np.array([4.0, 9.0, 20.0]))
    logits = torch.linspace(-1, 1, 60, dtype=torch.float64)[:, None]
    readout = objective.readout(lambda: logits)
    prediction = readout.predict(logits[:5], 3)
    assert isinstance(prediction, SurvivalPrediction)
    assert prediction.survival.shape == (5, 3)
    assert (np.diff(prediction.survival, axis=1) <= 0).all()
    assert (np.diff(prediction.survival, axis=0) <= 0).all(), "a higher risk is a lower survival"
    assert set(readout.arrays()) == {"baseline.days", "baseline.hazard", "baseline.centre", "baseline.bin_ends"}
    whole = target_tensors(targets)
    batch = Batch(torch.zeros(60, 0, 0), torch.zeros(60, 0, dtype=torch.bool), torch.zeros(60, 0), whole)
    term = objective.terms(Output(logits), batch, Progress(0, 0, 0.0))["cox"]
    assert float(term) == pytest.approx(float(cox_loss(logits[:, 0], whole.time_days, whole.event)))
