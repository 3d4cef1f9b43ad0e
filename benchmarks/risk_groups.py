"""How often a log-rank test of pooled cross-validated risk groups rejects where there is nothing to be found.

    python benchmarks/risk_groups.py [--runs 600]

Times, censorings and features are drawn independently of each other. Ridge Cox on the training part of 5 folds, groups
split at the median risk of each held-out fold, pooled, tested at a nominal 5 %. Name=value lines: the rejected share.
"""

import argparse

import numpy as np
from lifelines.statistics import logrank_test
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

FOLDS, LEVEL = 5, 0.05
CASES = ((200, 5, 0.1), (200, 20, 10.0), (100, 10, 1.0))
"""Patients, features, ridge penalty."""


def rejects(rng: np.random.Generator, patients: int, features: int, penalty: float) -> bool:
    """Whether the test of one draw does."""
    seen, died = rng.normal(size=(patients, features)), rng.exponential(size=patients)
    censored = rng.exponential(1.5, size=patients)
    event, times = died <= censored, np.minimum(died, censored)
    outcome, fold = Surv.from_arrays(event, times), rng.permutation(patients) % FOLDS
    high = np.zeros(patients, bool)
    for number in range(FOLDS):
        mine = fold == number
        fitted = CoxPHSurvivalAnalysis(alpha=penalty).fit(seen[~mine], outcome[~mine])
        risk = fitted.predict(seen[mine])
        high[mine] = risk > np.median(risk)
    return bool(logrank_test(times[high], times[~high], event[high], event[~high]).p_value < LEVEL)


def main() -> None:
    """Print the share of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600)
    asked = parser.parse_args()
    for patients, features, penalty in CASES:
        rng = np.random.default_rng(0)
        share = np.mean([rejects(rng, patients, features, penalty) for _ in range(asked.runs)])
        print(f"rejected_n{patients}_p{features}={share:.3f}", flush=True)


if __name__ == "__main__":
    main()
