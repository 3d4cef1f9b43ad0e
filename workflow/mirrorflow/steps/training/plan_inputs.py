"""What every rule that fits a method on a cohort's folds is given, and the plan that is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.learners.tasks import ModelPlace, Plan
from mirrorflow.plan.paths import SplitFile, by_inner_fold


@dataclass(frozen=True, kw_only=True)
class PlanFiles:
    """The cohort, its split files, support sets and genes, a manifest a fold (none for methods without RNA)."""

    cohort: Path
    splits: list[Path]
    support: Path
    genes: list[Path]
    few_shot_genes: list[Path]
    """Those of the k-shot settings, where the protocol gives them genes of their own."""


@dataclass(frozen=True, kw_only=True)
class PlanParams:
    """What decides predictions beside the method: see :class:`~mirrorflow.learners.tasks.Plan`."""

    protocol: Mapping[str, Any]
    tasks: list[str]
    shots: list[int]
    seeds: list[int]
    bins: int
    method: str
    """Its name, for messages."""
    saved: ModelPlace | None = None
    """Where the trained models go; None: nowhere."""


@dataclass(frozen=True)
class Rna:
    """Scaled expression beyond +-clip is cut; None: it is not."""

    clip: float | None


def plan_of(files: PlanFiles, params: PlanParams, method: Mapping[str, Any], inner_splits: list[Path]) -> Plan:
    """The plan for a method's settings; ``inner_splits``: of every inner fold and fold."""
    return Plan(
        cohort=str(files.cohort),
        splits=texts(files.splits),
        support=str(files.support),
        protocol=params.protocol,
        tasks=params.tasks,
        shots=params.shots,
        seeds=params.seeds,
        bins=params.bins,
        method=method,
        genes=texts(files.genes),
        few_shot_genes=texts(files.few_shot_genes),
        inner_splits=by_inner_fold(SplitFile, inner_splits),
        saved=params.saved,
    )


def texts(paths: list[Path]) -> list[str]:
    """Paths as the plan has them."""
    return [str(path) for path in paths]
