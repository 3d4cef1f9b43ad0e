"""Ways to choose genes (Table VII of MIRROR), and the manifest that says why each was kept.

The functions see training patients only, and labels only where their signature has them.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.config.expression_settings import Rfe
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.cross_validation import (
    CrossValidation,
    EliminationSettings,
    eliminate_cv,
    site_folds,
    stratified_folds,
)
from mirrorflow.expression.elimination import Elimination, Step
from mirrorflow.expression.gene_sets import count_sets, genes_of_sets, nothing_matches
from mirrorflow.expression.published_rfe import published_rfecv

BLOCK = 4096

logger = logging.getLogger("mirrorflow.expression.selection")


class NoOptimumError(InputError):
    """Rounding leaves the SVM without an optimum, as it does on counts: sums of their squares have no digits left."""


@dataclass(frozen=True)
class Choice:
    """Genes chosen by one method.

    positions: rows in order of rank, strongest first; coefficients: one a gene (an SVM's weight, a variance,
    an F), NaN where the method has none; details: what the method wants on the record.
    """

    reason: str
    positions: list[int]
    coefficients: list[float]
    details: dict[str, Any] = field(default_factory=dict)


def by_variance(values: NDArray, *, ids: Sequence[str], n_genes: int) -> Choice:
    """The ``n_genes`` of largest variance over ``values`` [patient, gene]; no label is seen."""
    variance = np.concatenate([_variance(values[:, start : start + BLOCK]) for start in _starts(values)])
    return _strongest("variance", variance, ids, n_genes)


def by_univariate_f(values: NDArray, labels: Sequence[str], *, ids: Sequence[str], n_genes: int) -> Choice:
    """The ``n_genes`` of largest F (one-way analysis of variance between the classes of ``labels``)."""
    classes, groups = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        message = f"all labelled training patients are {classes[0]!r}: no F statistic; use method: variance"
        raise InputError(message)
    f = np.concatenate([f_statistic(values[:, start : start + BLOCK], groups) for start in _starts(values)])
    return _strongest("univariate_f", f, ids, n_genes)


def f_statistic(values: NDArray, groups: NDArray) -> NDArray[np.float64]:
    """F of each gene of ``values`` [patient, gene] between ``groups`` [patient] (0 .. k - 1); constant: 0."""
    wide = values.astype(np.float64)
    wide -= wide.mean(axis=0)
    members = np.eye(groups.max() + 1)[groups]
    sizes = members.sum(axis=0)
    between = (np.square(members.T @ wide) / sizes[:, None]).sum(axis=0)
    within = np.square(wide).sum(axis=0) - between
    scale = (len(wide) - len(sizes)) / (len(sizes) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = scale * between / np.maximum(within, 0)
    return np.where(np.isnan(f), 0.0, f)


def by_gene_sets(symbols: Sequence[str], sets: Mapping[str, Sequence[str]], *, reason: str) -> Choice:
    """All genes that belong to a family or pathway; no value and no label is seen."""
    positions, missing = genes_of_sets(sets, symbols)
    if not positions:
        raise InputError(nothing_matches(sets, symbols, "expression.selection.gene_sets"))
    counts = count_sets(sets, symbols)
    logger.info("gene sets: %s", counts.said())
    details = {
        "gene_sets": len(sets),
        "symbols_not_found": len(missing),
        "not_found": missing[:50],
        "sets_without_gene": counts.lost,
        "smallest_set": [counts.smallest, counts.present[counts.smallest]],
    }
    return Choice(reason, positions, [np.nan] * len(positions), details)


def everything(n_genes: int) -> Choice:
    """All genes, in the order of the expression file."""
    return Choice("all", list(range(n_genes)), [np.nan] * n_genes)


def by_elimination(
    values: NDArray,
    labels: Sequence[str],
    *,
    ids: Sequence[str],
    patients: Sequence[str],
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    sites: Sequence[str] = (),
) -> Choice:
    """Recursive elimination with cross-validation on ``values`` [patient, gene] of labelled patients.

    settings: keys of the section ``rfe``; sites [patient], for ``cv_by: site``. Raises InputError for classes that are
    too small or in too few sites, NoOptimumError for values too large, ConfigError for settings out of range.
    """
    rfe = Rfe.of(settings)
    by_site = rfe.cv_by == "site"
    folds = site_folds(labels, sites, rfe.cv) if by_site else stratified_folds(labels, rfe.cv)
    how = EliminationSettings(rfe.C, Step(rfe.step, rfe.step_of), rfe.min_features, rfe.scoring)
    common: dict[str, Any] = {"ids": ids, "folds": folds, "how": how, "threads": threads}
    try:
        if rfe.solver == "sklearn":
            result = published_rfecv(values, labels, seed=seed, **common)
        else:
            result = eliminate_cv(values, labels, samples=patients, **common)
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        raise NoOptimumError(_no_optimum(values, rfe.C)) from error
    choice = _ranked(result, ids, len(folds))
    return replace(choice, details=choice.details | {"folds_by": "site"}) if by_site else choice


def gene_table(
    choice: Choice, *, ids: Sequence[str], symbols: Sequence[str], curated: Sequence[int], curated_reason: str
) -> pd.DataFrame:
    """Table of the genes kept: id, gene, reason, rank, coefficient.

    The method's genes come first, by rank (empty where the method has none); then the ``curated`` rows
    that it did not choose, by id, without a rank. A gene chosen twice has the reason "both".
    """
    also = set(curated)
    chosen = set(choice.positions)
    rest = sorted(also - chosen, key=lambda row: str(ids[row]))
    rows = [*choice.positions, *rest]
    reasons = ["both" if row in also else choice.reason for row in choice.positions]
    ranks = [None if np.isnan(value) else rank for rank, value in enumerate(choice.coefficients, start=1)]
    return pd.DataFrame(
        {
            "id": [ids[row] for row in rows],
            "gene": [symbols[row] for row in rows],
            "reason": reasons + [curated_reason] * len(rest),
            "rank": pd.array([*ranks, *[None] * len(rest)], dtype="Int64"),
            "coefficient": [*choice.coefficients, *[np.nan] * len(rest)],
        }
    )


def _no_optimum(values: NDArray, C: float) -> str:
    return (
        f"the SVM that eliminates genes finds no optimum with C {C:g} on values up to {np.nanmax(np.abs(values)):.3g}, "
        "which look like counts; set expression.sources.<name>.transform: log2_cpm (counts) or log2_plus_1 (others "
        "without a logarithm), or protocols.<name>.rna_scaling: train"
    )


def _ranked(result: CrossValidation, ids: Sequence[str], n_folds: int) -> Choice:
    strength = _strength(result.elimination)
    kept = np.flatnonzero(result.elimination.kept)
    order = sorted(map(int, kept), key=lambda row: (-abs(strength[row]), ids[row]))
    details = {
        "n_features": len(kept),
        "folds": n_folds,
        "classes": [str(name) for name in result.elimination.classes],
        "features_per_step": result.counts,
        "mean_score_per_step": [round(float(score), 6) for score in result.scores.mean(axis=0)],
        "scores_per_fold": np.round(result.scores, 6).tolist(),
    }
    if len(result.counts) > 1000:
        details |= {"features_per_step": len(result.counts), "scores_per_fold": "left out: one gene at a time"}
    return Choice("rfe", order, [float(strength[row]) for row in order], details)


def _strength(elimination: Elimination) -> NDArray[np.float64]:
    """The weight of each gene for two classes, the norm of its weights over one-vs-rest for more."""
    weights = elimination.coefficients
    return weights[0] if len(weights) == 1 else np.sqrt(np.square(weights).sum(axis=0))


def _strongest(reason: str, strength: NDArray, ids: Sequence[str], n_genes: int) -> Choice:
    if n_genes < 1:
        message = f"expression.selection.n_genes: {n_genes!r} must be at least 1"
        raise ConfigError(message)
    order = np.lexsort((np.asarray(ids, dtype=str), -strength))[:n_genes]
    details = {"n_genes": len(order), "lowest": float(strength[order[-1]])}
    return Choice(reason, [int(row) for row in order], [float(strength[row]) for row in order], details)


def _variance(values: NDArray) -> NDArray[np.float64]:
    return np.var(values.astype(np.float64), axis=0)


def _starts(values: NDArray) -> range:
    return range(0, values.shape[1], BLOCK)
