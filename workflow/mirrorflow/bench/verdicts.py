"""Scenario ``verdicts``: false verdicts and coverage for equal methods, power where one is better."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace

import pandas as pd

from mirrorflow.bench.calibrate import BETTER_RNA, Figures, better_world, equal_worlds, figures_of, run_studies
from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import World

DATASETS = 100
"""Of each of the four worlds."""
METRICS = ("c_index", "c_index_pairs")


def run(request: Request) -> Result:
    """Calibrate: equal methods at 36 and at 58 events, and one that is better at 47."""
    datasets = request.datasets or DATASETS
    seeds = range(request.seed * datasets, (request.seed + 1) * datasets)
    worlds = [*equal_worlds(), *(better_world(size) for size in BETTER_RNA)]
    if request.patients is not None or request.events is not None:
        worlds = [replace(world, **request.sizes(world.patients, world.events)) for world in worlds]
    found = _in_parallel(worlds, seeds, request.resamples)
    equal = pd.concat(found[:2])
    rows = [_row(name, part, metric) for name, part in _named(equal, found[2:]) for metric in METRICS]
    said = (f"{datasets} data sets of each of four worlds: two equal methods at {_events(worlds[:2])} events, one that "
            f"is better at {_events(worlds[2:])}.",)  # fmt: skip
    return Result(pd.DataFrame(rows), said, figures(equal, found[2:]))


def figures(equal: pd.DataFrame, better: Sequence[pd.DataFrame]) -> dict[str, float]:
    """The figures that are asked for, by the mean over folds (``c_index``)."""
    same = figures_of(equal)
    values = {
        "false_verdicts": same.found,
        "false_by_bootstrap": same.by_bootstrap,
        "false_by_t_test": same.by_t_test,
        "coverage": min(same.coverage_value, same.coverage_difference),
        "coverage_values": same.coverage_value,
        "coverage_differences": same.coverage_difference,
        "standard_error": same.error(same.found),
    }
    for size, part in zip(BETTER_RNA, better, strict=True):
        one = figures_of(part)
        short = size.replace(".", "")
        values |= {f"power_{short}": one.right, f"true_difference_{short}": one.difference}
        values[f"detectable_{short}"] = one.detectable
    return values


def _named(equal: pd.DataFrame, better: Sequence[pd.DataFrame]) -> list[tuple[str, pd.DataFrame]]:
    return [("equal", equal), *((f"better by {size}", part) for size, part in zip(BETTER_RNA, better, strict=True))]


def _row(name: str, rows: pd.DataFrame, metric: str) -> dict[str, object]:
    one: Figures = figures_of(rows, metric)
    return {"world": name, "metric": metric} | {key: round(value, 3) for key, value in asdict(one).items()}


def _events(worlds: Sequence[World]) -> str:
    return " and ".join(dict.fromkeys(str(world.events) for world in worlds))


def _in_parallel(worlds: Sequence[World], seeds: range, resamples: int) -> list[pd.DataFrame]:
    """Rows a world; worlds and halves of their seeds on all cores."""
    middle = seeds.start + len(seeds) // 2
    halves = [range(seeds.start, middle), range(middle, seeds.stop)]
    asked = [(world, half) for world in worlds for half in halves if len(half)]
    workers = min(len(asked), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(run_studies, *zip(*((*one, resamples) for one in asked), strict=True)))
    each = len(asked) // len(worlds)
    return [pd.concat(parts[start : start + each]) for start in range(0, len(parts), each)]
