"""How often verdicts are wrong, what they find, and what they cost; prints name=value lines last.

    python benchmarks/verdicts.py [--datasets 400] [--patients 4000] [--resamples 1000]

Four worlds of ``--datasets`` data sets each: two equally good methods at 36 and at 58 events, one better by 0.05 and by
0.10 at 47. Methods are trained in every one. A study of ``--patients`` with all linear methods, and the bootstrap of
17 methods x 5 folds x 3 seeds beside scikit-survival, called a resample at a time. Seconds are CPU seconds, but for
``scenario_wall``: a busy machine slows nothing.
"""

import argparse
import time

import numpy as np
from sksurv.metrics import concordance_index_censored

from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result, scenario
from mirrorflow.metrics import c_index, comparable_pairs
from mirrorflow.metrics.inference import FoldSample, bootstrap, summarise

METHODS, FOLDS, SEEDS, PATIENTS, RESAMPLES = 17, 5, 3, 900, 1000
EVENT_SHARE = 0.3
CALLS = 500
"""Of scikit-survival's function, from which the time of all resamples is extrapolated."""


def samples(rng: np.random.Generator) -> list[list[FoldSample]]:
    """Folds of every method; each holds its seeds' risks."""
    each = PATIENTS // FOLDS
    outcomes = [(rng.exponential(1000, each), rng.random(each) < EVENT_SHARE) for _ in range(FOLDS)]
    return [[_fold(k, *outcomes[k], rng.normal(size=(SEEDS, each))) for k in range(FOLDS)] for _ in range(METHODS)]


def _fold(number: int, times: np.ndarray, events: np.ndarray, risks: np.ndarray) -> FoldSample:
    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        value = c_index(risks, times, events, weights)
        return {"c_index": value, "c_index_pairs": value}

    def counts(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"c_index_pairs": comparable_pairs(times, events, weights)}

    return FoldSample(np.array([f"{number}-{i}" for i in range(len(times))]), score, number, counts, 4 * len(times))


def bootstrap_seconds() -> float:
    """Seconds for C and C over pairs of all methods, folds, seeds and resamples, intervals included."""
    folds = samples(np.random.default_rng(0))
    start = time.process_time()
    for method in folds:
        for draws in bootstrap(method, resamples=RESAMPLES, seed=0).values():
            summarise(draws, 0.95)
    return time.process_time() - start


def library_seconds() -> float:
    """Seconds that scikit-survival's C-index takes for as many resamples, extrapolated from CALLS calls."""
    rng, each = np.random.default_rng(0), PATIENTS // FOLDS
    times, events, risk = rng.exponential(1000, each), rng.random(each) < EVENT_SHARE, rng.normal(size=each)
    chosen = [rng.integers(each, size=each) for _ in range(CALLS)]
    start = time.process_time()
    for units in chosen:
        concordance_index_censored(events[units], times[units], risk[units])
    return (time.process_time() - start) / CALLS * METHODS * FOLDS * SEEDS * RESAMPLES


def show(result: Result) -> None:
    """Sentences and table."""
    print(*result.said, result.table.to_string(index=False, float_format="{:.3f}".format), sep="\n", end="\n\n")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--patients", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    start, wall = time.process_time(), time.perf_counter()
    large = scenario("linear").run(Request(patients=asked.patients))
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    show(large)
    ours, theirs = np.median([(bootstrap_seconds(), library_seconds()) for _ in range(3)], axis=0)
    calibrated = scenario("verdicts").run(Request(datasets=asked.datasets, resamples=asked.resamples))
    show(calibrated)
    figures = dict(calibrated.figures) | {
        "scenario_seconds": seconds,
        "scenario_wall": wall,
        "oracle": large.figures["oracle"],
    }
    figures |= {"bootstrap_seconds": float(ours), "sksurv_seconds": float(theirs), "over_sksurv": float(theirs / ours)}
    for name, value in figures.items():
        print(f"{name}={value:.4f}" if value < 10 else f"{name}={value:.1f}")


if __name__ == "__main__":
    main()
