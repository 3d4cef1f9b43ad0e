"""Classical survival models against lifelines, and hazards against a direct maximum of the likelihood."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.optimize import minimize

from mirrorflow.cohorts.splits import survival_bin_edges, survival_bin_ends
from mirrorflow.probes import cox, linear, majority
from mirrorflow.probes.task import Asked, Targets, survival_targets


def case(seed: int, count: int = 80) -> tuple[np.ndarray, Targets, np.ndarray]:
    """Vectors [unit, 3], targets without tied times (ties are treated differently), bin edges."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=3)
    times = rng.exponential(500 * np.exp(-vectors[:, 0]))
    frame = pd.DataFrame({"time_days": times, "event": (rng.random(count) < 0.6).astype(float)})
    edges = survival_bin_edges(times, frame["event"].to_numpy() == 1, 4)
    return vectors, survival_targets(frame, edges), edges


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.5, 20.0])
def test_ridge_cox_is_lifelines(seed, alpha):
    vectors, targets, edges = case(seed)
    ends = survival_bin_ends(edges, targets.time_days)
    ours = cox.fit_cox(vectors, targets, components=3, alpha=alpha).predict(vectors, Asked(0, ends))
    # All three components span the standardised features, and a rotation leaves the ridge penalty as it is.
    # lifelines penalises the mean log-likelihood (a factor n) of features standardised with ddof 1 (a factor
    # n / (n - 1) on squared coefficients).
    count = len(targets)
    standard = (vectors - vectors.mean(0)) / vectors.std(0)
    frame = pd.DataFrame(standard, columns=list("abc")).assign(time=targets.time_days, event=targets.event)
    fitter = CoxPHFitter(penalizer=alpha * (count - 1) / count**2, l1_ratio=0.0)
    fitter.fit(frame, "time", "event", fit_options={"precision": 1e-10})
    theirs = standard @ fitter.params_[list("abc")].to_numpy()
    np.testing.assert_allclose(ours.risk - ours.risk.mean(), theirs - theirs.mean(), atol=2e-4)


def test_breslow_survival_is_lifelines():
    vectors, targets, edges = case(0)
    ends = survival_bin_ends(edges, targets.time_days)
    ours = cox.fit_cox(vectors, targets, components=3, alpha=1e-6).predict(vectors, Asked(0, ends))
    frame = pd.DataFrame(vectors, columns=list("abc")).assign(time=targets.time_days, event=targets.event)
    fitter = CoxPHFitter().fit(frame, "time", "event")
    theirs = np.stack([fitter.predict_survival_function(frame, [end]).iloc[0].to_numpy() for end in ends], axis=1)
    # lifelines interpolates between event times.
    np.testing.assert_allclose(ours.survival[:, :-1], theirs[:, :-1], atol=0.03)


def test_everyone_alike_is_lifelines_kaplan_meier():
    _, targets, edges = case(1)
    ends = survival_bin_ends(edges, targets.time_days)
    ours = majority.kaplan_meier(targets).predict(np.zeros((2, 0)), Asked(0, ends))
    theirs = KaplanMeierFitter().fit(targets.time_days, targets.event).survival_function_at_times(ends)
    np.testing.assert_allclose(ours.survival[0], theirs.to_numpy())


def test_hazards_maximise_the_penalised_likelihood():
    vectors, targets, _ = case(2)
    C, bins = 0.3, 4
    ours = linear.fit_hazards(vectors, targets, bins, C).predict(vectors, Asked(0))
    standard = (vectors - vectors.mean(0)) / vectors.std(0)

    def loss(parameters: np.ndarray) -> float:
        slope, intercepts = parameters[:3], parameters[3:]
        logits = (standard @ slope)[:, None] + intercepts
        survive, hazard = -np.logaddexp(0, logits), -np.logaddexp(0, -logits)
        through = np.arange(bins) < targets.bins[:, None]
        last = np.take_along_axis(np.where(targets.event[:, None], hazard, survive), targets.bins[:, None], 1)
        likelihood = (survive * through).sum() + last.sum()
        penalty = (slope @ slope + intercepts @ intercepts / 1000) / 2
        return -C * likelihood + penalty

    best = minimize(loss, np.zeros(3 + bins), options={"gtol": 1e-8}).x
    logits = (standard @ best[:3])[:, None] + best[3:]
    survival = np.cumprod(1 / (1 + np.exp(logits)), axis=1)
    np.testing.assert_allclose(ours.survival, survival, atol=2e-3)
    np.testing.assert_allclose(ours.risk, -survival.sum(1), atol=5e-3)
