"""Survival of predicted risk groups: whose curves are drawn, what their captions say, which test stands beside them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.endpoint import causes, endpoint_title
from mirrorflow.errors import InputError
from mirrorflow.figures import kaplan_meier
from mirrorflow.figures.cumulative_incidence import OTHER, with_causes
from mirrorflow.figures.style import shorten
from mirrorflow.figures.survival_curves import draw_survival_curves
from mirrorflow.plan.figures import PermutedRecord
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.steps.results.figure_tasks import ALL_DATA, FigureSpec, Task
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_endpoint, read_numbers
from mirrorflow.tables.results import published_key

PublishedTests = Mapping[tuple[str, str, str], float]
"""(cohort, method, name of a cause-specific outcome) -> p of the published log-rank test of its risk groups."""


def published_tests(path: Path, names: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """From resources/published_log_rank.csv, by the names that a run's paths have (resources/names.tsv)."""
    cohorts, methods = (published_key(names, kind) for kind in ("cohort", "method"))
    return {
        (cohort, method, str(row.endpoint)): float(str(row.p))
        for row in read_numbers(path, ["p"]).itertuples()
        for cohort in _called(cohorts, str(row.cohort))
        for method in _called(methods, str(row.method))
    }


def _called(labels: Mapping[str, str], label: str) -> list[str]:
    return [name for name, published in labels.items() if published == label]


Place = tuple[str, str, str, str]
"""protocol, cohort, encoder, method"""


@dataclass(frozen=True)
class LogRanks:
    """What stands beside curves: published log-rank tests; by place what whole cross-validations found where outcomes
    were traded.
    """

    published: PublishedTests = field(default_factory=dict)
    permuted: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict)


def read_permuted(paths: Sequence[Path]) -> dict[Place, dict[str, Any]]:
    """Records of rule permute_outcomes by place; those without a p apart."""
    found = {}
    for path in paths:
        place, record = PermutedRecord.parse(path), json.loads(path.read_text(encoding="utf-8"))
        if record["permutations"]:
            found[place.protocol, place.cohort, place.encoder, place.method] = record
    return found


def survival_task(
    manifest: Path,
    frame: Path,
    titles: Mapping[str, str],
    shown: Collection[str],
    tests: LogRanks | None = None,
) -> Task:
    """Survival of the risk groups of one protocol, cohort, encoder and method, from its predictions.

    frame: the cohort's parquet, whose outcomes count (an adapted cohort's is its target's).
    shown: protocols with rows in results.csv; the others' numbers are withheld.
    """
    place = PredictionsManifest.parse(manifest)
    protocol, cohort, encoder, method = place.protocol, place.cohort, place.encoder, place.method

    def draw() -> FigureSpec:
        if protocol not in shown:
            message = f"no result of {protocol} is shown (see its audit)"
            raise InputError(message)
        name = read_endpoint(frame)
        rows, groups = _rows_and_groups(manifest, frame, name)
        title = " · ".join(part for part in (titles.get(method, method), encoder, protocol) if part != "none")
        known = tests or LogRanks()
        test = _test(groups, known.published.get((cohort, method, name)))
        record = known.permuted.get((protocol, cohort, encoder, method))
        permuted = _permuted(record)
        ratio = kaplan_meier.hazard_ratio(groups)
        curves = f"Cumulative incidence of {name}" if name else "Kaplan-Meier curves"
        said = "; ".join(filter(None, [test, permuted, kaplan_meier.hazard_ratio_text(ratio)]))
        alt = f"{curves} of two groups; {said}. " + " ".join(_group_lines(groups))
        where = f"protocol {protocol}, encoder {encoder}, method {method}, all training data"
        caption = _caption(rows, groups, cohort, where, name) + (TEST if test else "") + _said_of(record)
        figure = draw_survival_curves(
            groups, shorten(title, 70), name, "\n".join(filter(None, [test, permuted])), ratio
        )
        return FigureSpec(figure, title, alt, caption, groups)

    return Task(f"survival_{protocol}_{encoder}_{method}", "survival_curves", draw)


TEST = (
    " p: two-sided log-rank test of the pooled groups, given beside the published one alone. It is no valid test: a "
    "patient's group follows from the outcomes of the others, and where nothing is to be found such groups differ at a "
    "nominal 5% in more than 10% of runs."
)


def _permuted(record: Mapping[str, Any] | None) -> str:
    """``permutation p = 0.010``; empty without a record."""
    return "" if record is None else f"permutation p = {record['p_log_rank']:.3f}"


def _said_of(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    undefined = f", {record['undefined']} of them undefined and counted as doing as well" * bool(record["undefined"])
    return (
        f" Permutation p: share of {record['permutations']} whole cross-validations with outcomes traded among "
        f"patients (and the true one) whose groups differ as much by a log-rank test{undefined}; by C-index "
        f"{record['p_c_index']:.3f}."
    )


def _test(groups: pd.DataFrame, published: float | None) -> str:
    """What is said of a log-rank test: nothing where none was published."""
    return "" if published is None else kaplan_meier.beside_published(kaplan_meier.log_rank(groups), published)


def _rows_and_groups(manifest: Path, frame: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of all training data, and the patients in their groups. ``name``: of a cause-specific outcome."""
    people = read_cohort(frame)[0]
    rows = _survival_rows(manifest, people)
    groups = kaplan_meier.split_by_risk(rows)
    if name:
        groups = with_causes(groups, pd.Series(causes(people), index=people["patient"]))
    if groups["group"].nunique() < 2:
        method = PredictionsManifest.parse(manifest).method
        message = f"{method} gives all units the same risk: there are no two groups to draw"
        raise InputError(message)
    return rows, groups


def _survival_rows(manifest: Path, cohort: pd.DataFrame) -> pd.DataFrame:
    record = read_manifest(manifest)
    folds = read_task(record, "survival", cohort)
    if not folds:
        raise InputError(record.why_without("survival") or "no survival predictions in this run")
    rows = pd.concat([fold.rows for fold in folds], ignore_index=True)
    return rows[rows["setting"] == ALL_DATA]


def _group_lines(groups: pd.DataFrame) -> list[str]:
    return [
        f"{name} risk: {len(part)} patients, {int(part['event'].sum())} events."
        for name, part in groups.groupby("group")
    ]


def _caption(rows: pd.DataFrame, groups: pd.DataFrame, cohort: str, where: str, name: str) -> str:
    folds, seeds, twice = rows["fold"].nunique(), rows["seed"].nunique(), kaplan_meier.evaluated_twice(rows)
    caption = (
        f"{_estimate(groups, name)} of {cohort}, n = {len(groups)} patients ({int(groups['event'].sum())} events), "
        f"{where}. High risk: above the median predicted risk of the patient's own evaluation fold, else low (risks of "
        f"different folds share no scale); the groups of {folds} folds are pooled. Bands: pointwise 95% intervals. The "
        "size of the difference is the hazard ratio of high to low (Cox, stratified by fold, with its interval of "
        "95%). All of it is descriptive: groups of cross-validation are no independent samples."
    )
    if name:
        caption += " The ratio is of the cause-specific hazards: deaths of other causes are censored in it."
    if seeds > 1:
        caption += f" Ranks of {seeds} seeds are averaged."
    if twice:
        caption += f" {twice} patients are evaluated in several folds and count in the first."
    return caption


def _estimate(groups: pd.DataFrame, name: str) -> str:
    if not name:
        return "Kaplan-Meier estimate"
    others = int((groups["cause"] == OTHER).sum())
    return (
        f"Cumulative incidence of {endpoint_title(name)} (Aalen-Johansen estimate; {others} deaths of other causes "
        "compete, dotted; those of unknown cause are left out)"
    )
