"""The rows over all cohorts of the table of the field: one a method of a protocol and encoder."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.evaluation.field import Drawn, Gap, Mean, draws_of, gap, over_cohorts, rank_shares, shared_patients
from mirrorflow.evaluation.verdicts import ALIKE, BETTER, ITSELF, NONE, WORSE
from mirrorflow.metrics.inference import Draws, holm

MEAN = "mean"
"""What a row over all cohorts is called, as the published tables call theirs."""
OVER_COHORTS = "over cohorts"
"""What ``comparison`` says of a row over all cohorts: its first figure, which no ``evaluation.primary`` names."""


@dataclass(frozen=True)
class Predicted:
    """What a method predicted on a cohort.

    rows: seed, fold, patient, slide_id, risk, time_days, event; trained: fold -> training patients; skipped: why folds
    are missing.
    """

    rows: pd.DataFrame
    trained: Mapping[int, int | None]
    skipped: str = ""
    best: float = np.nan
    """C-index of each fold's best epoch, a mean over folds; NaN where epochs were not written."""
    gain: float = np.nan
    """That less the last epoch's."""

    @property
    def folds(self) -> frozenset[int]:
        """Folds that it predicts."""
        return frozenset(map(int, self.rows["fold"].unique()))


Field = Mapping[str, Mapping[str, Predicted]]
"""Cohort -> method -> what it predicted, of one protocol and encoder."""


@dataclass(frozen=True)
class Held:
    """A method's C-indices on every cohort, and their mean."""

    draws: Sequence[Draws]
    mean: Mean


def field_rows(
    field: Field, methods: Sequence[str], reference: str, how: Drawn, *, withheld: Collection[str] = ()
) -> Iterator[dict[str, object]]:
    """A row a method of ``methods`` that predicts anything: its mean over the cohorts of ``field``, the difference to
    ``reference``, verdict, ranks; without numbers, with the reason, where it lacks a cohort or a fold.

    Verdicts are Holm-adjusted over these methods. withheld: cohorts of the run whose numbers no table has: there is no
    mean over all cohorts then.
    """
    hidden = [f"{name} is withheld (see Audits)" for name in withheld]
    lacking = {name: why for name in methods if (why := "; ".join([*hidden, *_missing(field, name)]))}
    whole = [name for name in methods if name not in lacking and any(name in one for one in field.values())]
    held, patients = _held(field, whole, how)
    gaps = {
        name: gap(held[name].draws, held[reference].draws, how.confidence)
        for name in whole
        if reference in held and name != reference
    }
    p_values = np.array([one.p_value for one in gaps.values()])
    adjusted, family = dict(zip(gaps, holm(p_values), strict=True)), int((~np.isnan(p_values)).sum())
    shares = rank_shares([held[name].mean.resampled for name in whole]) if whole else np.zeros((0, 0))
    for name in methods:
        if name in held:
            ranks = shares[whole.index(name)]
            yield {
                "method": name,
                "cohort": MEAN,
                "patients": patients,
                "folds": sum(len(one.points) for one in held[name].draws),
                **_of_mean(held[name].mean),
                **_of_gap(name, reference, gaps.get(name), adjusted.get(name, np.nan), how, known=reference in held),
                **_detectable(gaps.get(name), 1 - how.confidence, family),
                **_of_ranks(ranks),
                "best_epoch": float(np.mean([one[name].best for one in field.values()])),
                "best_less_last": float(np.mean([one[name].gain for one in field.values()])),
                "note": "",
            }
        elif any(name in one for one in field.values()):
            yield {"method": name, "cohort": MEAN, "mean": np.nan, "note": lacking[name]}


def _missing(field: Field, method: str) -> Iterator[str]:
    for cohort, predicted in field.items():
        folds = frozenset().union(*(one.folds for one in predicted.values()))
        mine = predicted.get(method)
        if mine is None:
            yield f"not on {cohort}"
        elif lost := sorted(folds - mine.folds):
            why = f": {mine.skipped}" if mine.skipped else ""
            yield f"{cohort}: no fold {', '.join(map(str, lost))}{why}"


def _held(field: Field, methods: Sequence[str], how: Drawn) -> tuple[dict[str, Held], int]:
    """Of methods that have every fold of every cohort; and on how many patients."""
    draws: dict[str, list[Draws]] = {name: [] for name in methods}
    count = 0
    for place, predicted in enumerate(field.values()):
        if not methods:
            break
        on = shared_patients([predicted[name].rows for name in methods])
        count += sum(map(len, on.values()))
        for name in methods:
            one = predicted[name]
            draws[name].append(draws_of(one.rows, on, one.trained, place, how))
    return {name: Held(mine, over_cohorts(mine, how.confidence)) for name, mine in draws.items()}, count


def _of_mean(mean: Mean) -> dict[str, object]:
    return {"mean": mean.value, "sd": np.nan, "ci_low": mean.low, "ci_high": mean.high}


def _of_gap(
    name: str, reference: str, found: Gap | None, p_holm: float, how: Drawn, *, known: bool
) -> dict[str, object]:
    if found is None:
        return {"reference": reference, "verdict": ITSELF} if known and name == reference else {}
    verdict = NONE if np.isnan(p_holm) else ALIKE
    if p_holm < 1 - how.confidence:
        verdict = BETTER if found.value > 0 else WORSE
    return {
        "reference": reference,
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_bootstrap,
        "p_t_test": found.p_t_test,
        "p_holm": p_holm,
        "verdict": verdict,
        "comparison": OVER_COHORTS,
    }


def _detectable(found: Gap | None, level: float, family: int) -> dict[str, object]:
    """Of the rule before Holm, and at Holm's first step over ``family`` comparisons; nothing without a verdict."""
    if found is None or np.isnan(found.p_value):
        return {}
    return {"detectable": found.detectable(level), "detectable_holm": found.detectable(level / family)}


def _of_ranks(shares: np.ndarray) -> dict[str, object]:
    if np.isnan(shares).any():
        return {}
    mean_rank = float((shares * np.arange(1, len(shares) + 1)).sum())
    return {"mean_rank": mean_rank, "rank_shares": " ".join(f"{share:.3f}" for share in shares)}
