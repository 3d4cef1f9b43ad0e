"""Whether the patient's site alone tells the outcome, how long patients are followed, or the class.

Each by permutation: the figure beside that of the same patients with their sites dealt out anew. Patients are counted,
whatever unit a protocol has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.audit.chance import PERMUTATIONS, Chance, against_chance
from mirrorflow.audit.findings import SITE_NOUNS, WARNING, Finding
from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.families import settings_of
from mirrorflow.config.fields import defaults_of
from mirrorflow.metrics.concordance import TIED, comparable
from mirrorflow.probes.site_rates import relative_rates

OUTCOME, CLASS = "sites_tell_outcome", "sites_tell_class"
"""Kinds of findings."""
PSEUDO_PATIENTS: float = defaults_of(settings_of("classical", "site")["SETTINGS"])["pseudo_patients"]
"""Shrinkage of the method `site` where a run does not say another."""

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
FEW_PATIENTS = 5
"""Patients below which a site's median follow-up is not told."""

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class _Sides:
    """Rows of a frame that a fold trains on and evaluates."""

    train: Rows
    evaluated: Rows


def audit_sites(frame: pd.DataFrame, folds: Sequence[Fold], *, site_kind: str = "barcode") -> list[Finding]:
    """Warnings of a cohort's sites; ``site_kind``: a key of :data:`~mirrorflow.audit.findings.SITE_NOUNS`.

    frame: patient, site, label, time_days, event; patients without a site take no part. Nothing is asked of fewer than
    two sites, and of ranks where no fold has a site on both sides.
    """
    noun = SITE_NOUNS.get(site_kind, "sites").removesuffix("s")
    known = frame[frame["site"].fillna("") != ""].reset_index(drop=True)
    if known["site"].nunique() < 2:
        return []
    followed = known[has_outcome(known)].reset_index(drop=True)
    labelled = known[has_label(known)].reset_index(drop=True)
    return [*_outcome(followed, folds, noun), *_follow_up(followed, noun), *_class(labelled, folds, noun)]


def lacking_sites(frame: pd.DataFrame) -> str:
    """A sentence where sites can tell nothing: nobody's is known, or all are of one."""
    sites = sorted(set(frame["site"].fillna("")) - {""})
    if not sites:
        return "No patient's site is known: what sites tell was not asked, and the method site has no row."
    if len(sites) == 1:
        return f"All patients with a known site are of one ({sites[0]}): it tells none from another."
    return ""


def sites_lines(frame: pd.DataFrame, site_kind: str) -> Iterator[str]:
    """:func:`lacking_sites`, or else how many sites have one patient and of how many patients the site is unknown."""
    if lacking := lacking_sites(frame):
        yield lacking
        return
    known = frame["site"].fillna("")
    counts = known[known != ""].value_counts()
    alone, unknown = int((counts == 1).sum()), int((known == "").sum())
    if alone:
        noun = SITE_NOUNS.get(site_kind, "sites")
        yield f"{alone} of {len(counts)} {noun} have one patient: where trained on, they hardly leave the overall rate."
    if unknown:
        yield f"The site of {unknown} patients is unknown: the method site gives them the overall rate."


# Ranks on the folds.


def ranking_by_site(
    frame: pd.DataFrame,
    folds: Sequence[Fold],
    pseudo_patients: float = PSEUDO_PATIENTS,
    permutations: int = PERMUTATIONS,
) -> Chance:
    """C-index of the sites' shrunken training rates, mean over folds, against permutations of the sites.

    frame: patient, site, time_days, event, all known. NaN where no fold has a comparable pair.
    """
    times, events = frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) == 1
    columns = _columns(frame["site"])
    sides = _sides(frame, folds)
    pairs = [_pairs(side.evaluated, times, events) for side in sides]

    def mean_c(order: Rows) -> float:
        dealt = columns[order]
        found = []
        for side, (early, late) in zip(sides, pairs, strict=True):
            if not len(early) or not len(side.train):
                continue
            rates = relative_rates(dealt[side.train], times[side.train], events[side.train], pseudo_patients)
            risk = dealt @ rates
            apart = risk[early] - risk[late]
            found.append(np.where(np.abs(apart) <= TIED, 0.5, apart > 0).mean())
        return float(np.mean(found)) if found else np.nan

    return against_chance(mean_c, len(frame), permutations=permutations)


def _outcome(frame: pd.DataFrame, folds: Sequence[Fold], noun: str) -> Iterator[Finding]:
    if not _mix(frame, folds):
        return
    found = ranking_by_site(frame, folds)
    if found.beyond:
        text = (
            f"the event rate of a patient's {noun} alone, learned on training patients, ranks evaluation patients: "
            f"C-index {found.value:.3f}, mean over folds ({found.words()}). Methods are partly scored on which "
            f"{noun} it was"
        )
        yield Finding(WARNING, OUTCOME, text, None, frame["site"].nunique(), _largest(frame))


def _follow_up(frame: pd.DataFrame, noun: str) -> Iterator[Finding]:
    """Censoring that depends on the site: observed against expected censorings, as a log-rank test has them."""
    if len(frame) < 2 or frame["site"].nunique() < 2 or (frame["event"] == 1).all():
        return
    found = censoring_by_site(frame)
    if found.beyond:
        shown = _medians(frame)
        text = (
            f"how long patients are followed depends on the {noun}: inverse-probability-of-censoring weights (Uno's C, "
            "Brier score, time-dependent AUC) take one censoring curve for all, which does not hold here "
            f"({shown}log-rank statistic of censoring {found.value:.0f}, {found.words(0)})"
        )
        yield Finding(WARNING, OUTCOME, text, None, frame["site"].nunique(), _largest(frame))


def _medians(frame: pd.DataFrame) -> str:
    """The shortest and the longest median follow-up of sites with enough patients, in words."""
    sizes = frame["site"].map(frame["site"].value_counts())
    years = frame[sizes >= FEW_PATIENTS].groupby("site")["time_days"].median() / 365.25
    return f"medians of {years.min():.1f} to {years.max():.1f} years; " if len(years) > 1 else ""


def censoring_by_site(frame: pd.DataFrame) -> Chance:
    """Sum over sites of (observed - expected censorings)^2 / expected, against permutations of the sites.

    Expected by the Nelson-Aalen hazard of being censored in the whole of ``frame`` (site, time_days, event).
    """
    times, censored = frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) != 1
    columns, expected = _columns(frame["site"]), _cumulative_hazard(times, censored)

    def statistic(order: Rows) -> float:
        dealt = columns[order]
        of_site = dealt.T @ expected
        away = dealt.T @ censored - of_site
        return float(np.divide(away**2, of_site, out=np.zeros_like(of_site), where=of_site > 0).sum())

    return against_chance(statistic, len(frame))


def _cumulative_hazard(times: NDArray[np.float64], gone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Nelson-Aalen's hazard of ``gone`` until each patient's own time."""
    distinct, number = np.unique(times, return_inverse=True)
    at_risk = len(times) - np.concatenate([[0], np.bincount(number, minlength=len(distinct)).cumsum()[:-1]])
    return (np.bincount(number, weights=gone, minlength=len(distinct)) / at_risk).cumsum()[number]


def _class(frame: pd.DataFrame, folds: Sequence[Fold], noun: str) -> Iterator[Finding]:
    if not _mix(frame, folds) or frame["label"].nunique() < 2:
        return
    found = class_by_site(frame, folds)
    if found.beyond:
        text = (
            f"the class shares of a patient's {noun} alone, learned on training patients, tell classes of evaluation "
            f"patients: AUROC {found.value:.3f}, mean over classes and folds ({found.words()}). Methods are partly "
            f"scored on which {noun} it was"
        )
        yield Finding(WARNING, CLASS, text, None, frame["site"].nunique(), _largest(frame))


def class_by_site(frame: pd.DataFrame, folds: Sequence[Fold]) -> Chance:
    """AUROC of the sites' shrunken training shares, mean over classes, then folds, against permutations of the sites.

    frame: patient, site, label, all known.
    """
    columns, sides = _columns(frame["site"]), _sides(frame, folds)
    classes = np.unique(frame["label"])
    inside = (frame["label"].to_numpy()[:, None] == classes[None]).astype(float)

    def mean_auroc(order: Rows) -> float:
        dealt = columns[order]
        found = [_auroc(dealt, inside, side) for side in sides if len(side.train)]
        there = [value for value in found if not np.isnan(value)]
        return float(np.mean(there)) if there else np.nan

    return against_chance(mean_auroc, len(frame))


def _auroc(sites: NDArray[np.float64], inside: NDArray[np.float64], side: _Sides) -> float:
    """Mean over the classes that a fold evaluates; NaN where it is one."""
    train, evaluated = side.train, side.evaluated
    overall = inside[train].mean(0)
    counts = sites[train].T @ inside[train] - sites[train].sum(0)[:, None] * overall
    above = counts / (sites[train].sum(0) + PSEUDO_PATIENTS)[:, None]  # shrunken share less the overall one
    ranks = _ranks((sites[evaluated] @ above).round(12))
    count = inside[evaluated].sum(0)
    pairs = count * (len(evaluated) - count)
    wins = (ranks * inside[evaluated]).sum(0) - count * (count + 1) / 2
    return float((wins[pairs > 0] / pairs[pairs > 0]).mean()) if (pairs > 0).any() else np.nan


# Parts.


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 within each column of ``values``; ties share their mean."""
    ordered = np.sort(values, axis=0)
    sides = [[np.searchsorted(o, v, side) for o, v in zip(ordered.T, values.T, strict=True)] for side in SIDES]
    return (np.array(sides[0]) + np.array(sides[1]) + 1).T / 2


def _columns(sites: pd.Series) -> NDArray[np.float64]:
    """[patient, site] 1 at the patient's site."""
    codes, names = pd.factorize(sites, sort=True)
    return np.eye(len(names))[codes]


def _sides(frame: pd.DataFrame, folds: Sequence[Fold]) -> list[_Sides]:
    place = {patient: row for row, patient in enumerate(frame["patient"])}
    return [
        _Sides(
            *(
                np.array([place[name] for name in part if name in place], np.intp)
                for part in (fold.train, fold.evaluated)
            )
        )
        for fold in folds
    ]


def _pairs(rows: Rows, times: NDArray[np.float64], events: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Comparable pairs of ``rows``, as Harrell's C has them: who had the event earlier, and who was there longer."""
    first, second = np.nonzero(comparable(times[rows], events[rows]))
    return rows[first], rows[second]


def _mix(frame: pd.DataFrame, folds: Sequence[Fold]) -> bool:
    """Whether a fold has a site on both sides."""
    site: Mapping[str, str] = dict(zip(frame["patient"], frame["site"], strict=True))
    sides = [({site.get(name, "") for name in part} - {""} for part in (fold.train, fold.evaluated)) for fold in folds]
    return any(train & val for train, val in sides)


def _largest(frame: pd.DataFrame) -> tuple[str, ...]:
    """The sites with most patients."""
    return tuple(str(name) for name in frame["site"].value_counts().index[:5])
