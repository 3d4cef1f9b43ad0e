"""Who is in each cohort, who fell out and why, and what the folds hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mirrorflow.cohorts import endpoint
from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.report.blocks import (
    Block,
    Details,
    Heading,
    Picture,
    Section,
    Table,
    Text,
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
    endpoint: str = ""
    """What a cause-specific outcome is called (DSS); empty where the outcome is any other."""
    converted: Sequence[str] = ()
    """How the sheets were read where that was not as expected, a line each."""


def cohorts_section(cohorts: Mapping[str, CohortTables], pictures: Mapping[str, Sequence[Picture]]) -> Section:
    """One part a cohort. ``pictures``: cohort -> figures of its flow."""
    blocks: list[Block] = []
    for name, tables in cohorts.items():
        blocks += [
            Heading(name),
            *_of_causes(tables),
            *_converted(tables),
            _composition(name, tables),
            *pictures.get(name, ()),
        ]
        blocks += [_flow(name, tables.flow), _reasons(name, tables.dropped), *_all_units(name, tables.dropped)]
    return Section("cohorts", "Cohorts: who is in, who is not, and why", blocks)


def _of_causes(tables: CohortTables) -> list[Block]:
    """What a cause-specific outcome is, and how many of the dead it leaves out."""
    deaths = [int(rows.sum()) for rows in endpoint.deaths_by_cause(tables.frame).values()]
    if not deaths:
        return []
    dead, own, other, unknown = deaths
    alive = tables.frame[tables.frame[endpoint.EVENT] == 0]
    text = (
        f"Outcome: {endpoint.endpoint_title(tables.endpoint)}. Of {dead} deaths {own} are of this cause (events), "
        f"{other} of another (censored, and they compete: curves are cumulative incidences) and {unknown} of unknown "
        f"cause. These are left out, as published. The outcome of {unknown} of {dead} dead and of "
        f"{int((~has_outcome(alive)).sum())} of {len(alive)} others is unknown: where these shares differ, patients "
        "are not missing at random. What the dead of unknown cause could change: tables/cause_bounds."
    )
    return [Text(text, notice=unknown > 0)]


def _converted(tables: CohortTables) -> list[Block]:
    """What was recognised and converted where the sheets were read."""
    return [Text(f"How the sheets were read: {'; '.join(tables.converted)}.")] if tables.converted else []


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
        *_by_cause(frame),
        ("slides", int(frame["slide_ids"].map(len).sum())),
        ("patients with several slides", int((frame["slide_ids"].map(len) > 1).sum())),
        ("tissue source sites", int(frame.loc[frame["site"].fillna("") != "", "site"].nunique())),
    ]
    caption = (
        f"Composition of {name}, n = {len(frame)} patients, for every protocol; median time in the outcome table: "
        f"{years}. Rule build_cohort."
    )
    return Table(caption, ("what", "count"), [cells(*row) for row in counts], frozenset({1}))


def _by_cause(frame: pd.DataFrame) -> list[tuple[str, int]]:
    counts = {what.removeprefix("of these "): int(rows.sum()) for what, rows in endpoint.deaths_by_cause(frame).items()}
    return list(counts.items())


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
