"""Who is in each cohort, who fell out and why, and what the folds hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.report.blocks import (
    Block,
    Details,
    Heading,
    Picture,
    Section,
    Table,
    cells,
    counted,
    some,
    table_of,
)

SHOWN_LINES = 300
"""Longest list of dropped patients on the page; the file has them all."""


@dataclass(frozen=True)
class CohortTables:
    """A cohort's frame and classes, its flow (step, patients, slides) and who was dropped (step, reason, ...)."""

    frame: pd.DataFrame
    classes: Sequence[str]
    flow: pd.DataFrame
    dropped: pd.DataFrame


def cohorts_section(cohorts: Mapping[str, CohortTables], pictures: Mapping[str, Sequence[Picture]]) -> Section:
    """One part a cohort. ``pictures``: cohort -> figures of its flow."""
    blocks: list[Block] = []
    for name, tables in cohorts.items():
        blocks += [Heading(name), _composition(name, tables), *pictures.get(name, ())]
        blocks += [_flow(name, tables.flow), _reasons(name, tables.dropped), *_all_units(name, tables.dropped)]
    return Section("cohorts", "Cohorts: who is in, who is not, and why", blocks)


def _composition(name: str, tables: CohortTables) -> Table:
    frame = tables.frame
    followed = frame[has_outcome(frame)]
    years = f"{followed['time_days'].median() / 365.25:.1f} years" if len(followed) else "nobody"
    counts = [(f"class {label}", int((frame["label"] == label).sum())) for label in tables.classes]
    counts += [
        ("no class", int((~has_label(frame)).sum())),
        ("outcome known", len(followed)),
        ("events", int((followed["event"] == 1).sum())),
        ("outcome unknown", len(frame) - len(followed)),
        ("slides", int(frame["slide_ids"].map(len).sum())),
        ("patients with several slides", int((frame["slide_ids"].map(len) > 1).sum())),
        ("tissue source sites", int(frame.loc[frame["site"].fillna("") != "", "site"].nunique())),
    ]
    caption = (
        f"Composition of {name}, n = {len(frame)} patients, for every protocol; median time in the outcome table: "
        f"{years}. Rule build_cohort."
    )
    return Table(caption, ("what", "count"), [cells(*row) for row in counts], frozenset({1}))


def _flow(name: str, flow: pd.DataFrame) -> Table:
    caption = (
        f"What was left of {name} after each step, for every protocol. Rule build_cohort, file cohort/{name}.flow.tsv."
    )
    return table_of(flow, caption)


def _reasons(name: str, dropped: pd.DataFrame) -> Table:
    rows = []
    for (step, reason), group in dropped.groupby(["step", "reason"], sort=False):
        slides = group["slide_id"][group["slide_id"] != ""]
        names = sorted(set(slides if len(slides) else group["patient"]))
        rows.append(cells(step, reason, group["patient"].nunique(), len(slides), some(names, 3)))
    caption = (
        f"Who fell out of {name}, by step and reason, n = {len(dropped)} lines, for every protocol; slides are counted "
        f"where a slide, not its patient, was dropped. Rule build_cohort, file cohort/{name}.dropped.tsv."
    )
    return Table(caption, ("step", "reason", "patients", "slides", "for example"), rows, frozenset({2, 3}))


def _all_units(name: str, dropped: pd.DataFrame) -> list[Block]:
    if dropped.empty:
        return []
    shown = dropped.head(SHOWN_LINES)
    more = "" if len(shown) == len(dropped) else f" The first {len(shown)}; the file has all."
    caption = f"Dropped from {name}, line by line, n = {len(dropped)}, for every protocol.{more} Rule build_cohort."
    return [Details(f"All {counted(len(dropped), 'line')}", (table_of(shown, caption, filterable=True),))]


def folds_section(summaries: Mapping[tuple[str, str], pd.DataFrame], used_by: Mapping[str, Sequence[str]]) -> Section:
    """What each fold holds. ``summaries``: (scope, cohort) -> splits/summary.tsv; ``used_by``: scope -> protocols."""
    blocks: list[Block] = []
    for (scope, cohort), summary in summaries.items():
        caption = (
            f"Folds of {cohort}, scope {scope} (protocol {', '.join(used_by.get(scope, ()))}), n = {len(summary)}: "
            "patients, patients of each class, and events, in training (train) and evaluation (val). Rule make_splits, "
            f"file {scope}/{cohort}/splits/summary.tsv."
        )
        blocks.append(table_of(summary, caption))
    return Section("folds", "Folds", blocks)
