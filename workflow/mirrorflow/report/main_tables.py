"""The main tables, protocol by protocol: methods down, cohorts and settings across, each verdict with its reason."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.report.beside import beside_table
from mirrorflow.report.blocks import Block, Cell, Heading, Listing, Section, Table, Text, badge_cells
from mirrorflow.report.verdicts import verdict_cell, verdict_of_text
from mirrorflow.tables.main import ABSENT_CLASSES, TITLES, shown_rows
from mirrorflow.tables.verdict_notes import detectable_note, rule_note

CELL = re.compile(
    r"(?P<value>[^\[(,]*)(?:\[(?P<interval>[^\]]*)\])?(?:, (?P<verdict>[a-z][a-z0-9: ]*?))?"
    r"\s*(?:\((?P<published>published .*?)\))?(?:, (?P<patients>n = \d+(?: \(trained on [^)]*\))?))?\Z"
)
"""A cell of a main table (mirrorflow.tables.main.cell_text), taken apart."""
KEYS = ("protocol", "encoder", "method")

Place = tuple[str, str, str, str, str, str]
"""Protocol, encoder, title of the method, title of the cohort, setting, title of the metric."""


@dataclass(frozen=True)
class Titles:
    """What methods and cohorts are called."""

    methods: Mapping[str, str]
    cohorts: Mapping[str, str]


NO_TITLES = Titles({}, {})


def main_section(
    tables: Mapping[str, pd.DataFrame],
    results: pd.DataFrame,
    audits: Mapping[str, Mapping[str, int]],
    records: Sequence[Mapping[str, Any]] = (),
    titles: Titles = NO_TITLES,
) -> Section:
    """The main tables. ``tables``: task -> main_<task>.csv; ``audits``: protocol -> findings by level; records: of the
    audits, from which :func:`~mirrorflow.report.beside.beside_table` takes what stands beside a table.
    """
    blocks: list[Block] = [
        Text(
            "Mean ± standard deviation over folds (ddof 1), below it the bootstrap interval over patients, widened for "
            "training patients that folds share. "
            "Bold: the interval lies above that of every other method of the protocol; elsewhere the data do not "
            f"tell the best apart, and nothing is marked. {rule_note(results)} Not told apart is this page's word for "
            f"not distinguishable. Macro F1: {ABSENT_CLASSES}."
        )
    ]
    for task, table in tables.items():
        if table.empty:
            blocks.append(Text(f"{task.capitalize()}: no method of this run was evaluated on it."))
        for protocol, part in table.groupby("protocol", sort=True):
            badges = badge_cells(audits.get(str(protocol), {}))
            blocks.append(Heading(f"{task.capitalize()}, protocol {protocol}", badges))
            if beside := beside_table(records, str(protocol), task):
                blocks.append(Listing(beside))
            mine = shown_rows(results[results["protocol"] == protocol], task)
            blocks.append(_main_table(part, task, mine, titles))
    return Section("tables", "Main tables", blocks)


def _main_table(part: pd.DataFrame, task: str, mine: pd.DataFrame, titles: Titles) -> Table:
    columns = [str(name) for name in part if name not in KEYS and (part[name] != "").any()]
    best = {name: clearly_best(part[name].tolist()) for name in columns}
    found, protocol = _by_place(mine, titles), str(part["protocol"].iloc[0])
    rows = [
        [
            Cell(str(row["method"]), below="" if row["encoder"] == "none" else str(row["encoder"])),
            *(
                _main_cell(str(row[name]), found.get(_place(row, name)), titles, strong=best[name] == number)
                for name in columns
            ),
        ]
        for number, row in enumerate(part.to_dict("records"))
    ]
    header = ["method", *("\n".join(name.rsplit(", ", 2)) for name in columns)]
    caption = (
        f"{task.capitalize()}, protocol {protocol}: {_evaluated(mine)}. {detectable_note(mine)} Rule make_tables, "
        f"file tables/main_{task}.csv."
    )
    return Table(caption, header, rows, frozenset(range(1, len(header))))


def _by_place(rows: pd.DataFrame, titles: Titles) -> dict[Place, Mapping[Hashable, Any]]:
    """Rows of results.csv by what a main table calls their places."""
    return {
        (
            *(str(row["protocol"]), str(row["encoder"]), titles.methods.get(str(row["method"]), str(row["method"]))),
            *(titles.cohorts.get(str(row["cohort"]), str(row["cohort"])), str(row["setting"])),
            TITLES[str(row["metric"])],
        ): row
        for row in rows.to_dict("records")
    }


def _place(row: Mapping[Hashable, Any], column: str) -> Place:
    """A column's head is ``<cohort>, <setting>, <metric>``; a setting may say how many each fold holds, a cohort its
    outcome, both in brackets.
    """
    cohort, setting, metric = column.rsplit(", ", 2)
    protocol, encoder, method = (str(row[key]) for key in KEYS)
    return protocol, encoder, method, cohort, setting.partition(" (")[0], metric


def _evaluated(mine: pd.DataFrame) -> str:
    said = []
    for cohort, rows in mine.groupby("cohort", sort=True):
        n, folds = (sorted({int(rows[name].min()), int(rows[name].max())}) for name in ("n", "folds"))
        said.append(f"{cohort}: n = {'-'.join(map(str, n))} in {'-'.join(map(str, folds))} folds")
    return "; ".join(said) or "no rows"


def _main_cell(text: str, row: Mapping[Hashable, Any] | None, titles: Titles, *, strong: bool) -> Cell:
    parts = CELL.match(text)
    if parts is None:
        return Cell(text, strong=strong)
    interval = f"[{parts['interval']}]" if parts["interval"] else ""
    below = "\n".join(filter(None, (interval, parts["published"], *_patients(parts["patients"] or ""))))
    said = parts["verdict"]
    verdict = (verdict_cell(row, titles.methods) if row else verdict_of_text(said)) if said else Cell("")
    return Cell(parts["value"].strip(), below=below, strong=strong, mark=verdict if verdict.text else None)


def _patients(said: str) -> list[str]:
    """``n = 17 (trained on 33 to 34)`` in two lines."""
    return said.removesuffix(")").split(" (")


def clearly_best(texts: Sequence[str]) -> int | None:
    """Row whose interval lies above all others, None when no row is told apart or a row has no interval.

    A column whose rows are of different patients says so in each cell (``, n = 17``): nothing in it is marked.
    """
    bounds = [_bounds(text) for text in texts if text]
    rows = [number for number, text in enumerate(texts) if text]
    if len(bounds) < 2 or any(bound is None for bound in bounds):
        return None
    intervals = np.array(bounds, dtype=float)
    first = int(intervals[:, 0].argmax())
    return rows[first] if intervals[first, 0] > np.delete(intervals[:, 1], first).max() else None


def _bounds(text: str) -> tuple[float, float] | None:
    parts = CELL.match(text)
    if parts is None or not parts["interval"] or parts["patients"]:
        return None
    low, high = parts["interval"].split(", ")
    return float(low), float(high)
