"""What the full TCGA run would cost, by what this run's jobs did: a line of the report, not a promise."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.resources import RESOURCES
from mirrorflow.plan.forecast import ASSUMED_PATCHES, ASSUMED_SIDE_UM
from mirrorflow.report.running import RuleForecast

JOBS = RESOURCES / "tcga_jobs.tsv"
"""Jobs of config/tcga.yaml by rule, as `mirrorflow plan` counts them."""

COHORTS, SLIDES = 4, 3_600
SIDE_UM = 256.0
"""config/tcga.yaml: patches of 512 px at 0.5 um/px."""

TRAINED, EPOCHS, SUPERVISED_EPOCHS = 0.8, 100, 20
"""Share of a cohort that a fold trains on, and the default epochs of pretraining and of supervised methods."""


@dataclass(frozen=True)
class Extent:
    """What a run's jobs worked on, in sum or per job."""

    patches: float
    """Patches of all cohorts and presets, over the jobs that cut them."""
    units: float
    """Units of a cohort, on average."""
    pretrain_epochs: float
    supervised_epochs: float


def extent_of(
    config: Mapping[str, Any], ledgers: Sequence[pd.DataFrame], sizes: Sequence[int], patch_jobs: int
) -> Extent:
    """Of this run: ``ledgers`` with a column patches, cohorts' ``sizes``, jobs that cut patches."""
    patches = sum(pd.to_numeric(rows["patches"], errors="coerce").sum() for rows in ledgers)
    methods = config["methods"].items()
    pretrained = [entry["pretrain"]["epochs"] for _, entry in methods if entry["family"] in PRETRAINED_FAMILIES]
    supervised = [entry["train"]["epochs"] for _, entry in methods if "train" in entry]
    return Extent(
        patches / max(1, patch_jobs),
        sum(sizes) / max(1, len(sizes)),
        sum(pretrained) / max(1, len(pretrained)),
        sum(supervised) / max(1, len(supervised)),
    )


def planned_jobs(path: Path = JOBS) -> dict[str, tuple[int, bool]]:
    """Rule -> how many jobs the full run has, and whether they ask for a GPU."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["rule"]: (int(row["jobs"]), int(row["gpus"]) > 0) for row in csv.DictReader(stream, delimiter="\t")}


def forecast(benchmarks: Mapping[str, Sequence[pd.DataFrame]], here: Extent) -> list[RuleForecast]:
    """A row for each rule that both runs have; a rule that this run did not need has no figure.

    ``benchmarks``: rule -> rows of its jobs with s, cpu_time and max_rss, the last two NaN where not measured.
    """
    planned = planned_jobs()
    shards = planned["patch_slides"][0]
    patches = SLIDES * ASSUMED_PATCHES * (ASSUMED_SIDE_UM / SIDE_UM) ** 2
    there = Extent(patches / shards, SLIDES / COHORTS, EPOCHS, SUPERVISED_EPOCHS)
    rows = []
    for rule, frames in benchmarks.items():
        if rule not in planned:
            continue
        cost = pd.concat(frames).reindex(columns=["s", "cpu_time", "max_rss"]).apply(pd.to_numeric, errors="coerce")
        jobs, on_gpu = planned[rule]
        measure, what = GROWTH.get(rule, (_same, "jobs"))
        factor = measure(there) / measure(here) if measure(here) else 1.0
        hours, cpu_hours = (float(jobs * factor / 3600 * cost[key].mean()) for key in ("s", "cpu_time"))
        rows.append(RuleForecast(rule, on_gpu, jobs, what, hours, cpu_hours, float(cost["max_rss"].max())))
    return rows


def _same(_: Extent) -> float:
    return 1.0


GROWTH: dict[str, tuple[Callable[[Extent], float], str]] = {
    "patch_slides": (lambda extent: extent.patches, "patches"),
    "extract_features": (lambda extent: extent.patches, "patches"),
    "pretrain_mirror": (lambda extent: extent.units * TRAINED * extent.pretrain_epochs, "units x epochs"),
    "train_supervised": (lambda extent: extent.units * TRAINED * extent.supervised_epochs, "units x epochs"),
    "embed": (lambda extent: extent.units, "units"),
    "embed_target": (lambda extent: extent.units, "units"),
    "probe_mirror": (lambda extent: extent.units, "units"),
    "adapt": (lambda extent: extent.units, "units"),
    "fit_baseline": (lambda extent: extent.units, "units"),
    "evaluate": (lambda extent: extent.units, "units"),
}
"""What a job's time is taken to grow with, in proportion; other rules' jobs are taken to last as long as here."""
