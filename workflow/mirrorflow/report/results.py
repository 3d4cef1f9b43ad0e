"""The tables of results: the main ones protocol by protocol, and the long one with a search field."""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.report.beside import beside_table
from mirrorflow.report.blocks import Block, Cell, Heading, Listing, Section, Table, Text, badge_cells, cells
from mirrorflow.tables.main import ABSENT_CLASSES, shown_rows, value_text
from mirrorflow.tables.results import SAW
from mirrorflow.tables.verdict_notes import detectable_note, rule_note

CELL = re.compile(
    r"(?P<value>[^\[(,]*)(?:\[(?P<interval>[^\]]*)\])?(?:, (?P<verdict>[a-z][a-z0-9: ]*?))?"
    r"\s*(?:\((?P<published>published .*)\))?\Z"
)
"""A cell of a main table (mirrorflow.tables.main.cell_text), taken apart."""
KEYS = ("protocol", "encoder", "method")


def main_section(
    tables: Mapping[str, pd.DataFrame],
    results: pd.DataFrame,
    audits: Mapping[str, Mapping[str, int]],
    records: Sequence[Mapping[str, Any]] = (),
) -> Section:
    """The main tables. ``tables``: task -> main_<task>.csv; ``audits``: protocol -> findings by level; records: of the
    audits, from which :func:`~mirrorflow.report.beside.beside_table` takes what stands beside a table.
    """
    blocks: list[Block] = [
        Text(
            "Mean ± standard deviation over folds (ddof 1), below it the bootstrap interval over patients, widened for "
            "training patients that folds share. "
            "Bold: the interval lies above that of every other method of the protocol; elsewhere the data do not "
            f"tell the best apart, and nothing is marked. {rule_note(results)} Macro F1: {ABSENT_CLASSES}."
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
            blocks.append(_main_table(part, task, str(protocol), results))
    return Section("tables", "Main tables", blocks)


def _main_table(part: pd.DataFrame, task: str, protocol: str, results: pd.DataFrame) -> Table:
    columns = [name for name in part if name not in KEYS and (part[name] != "").any()]
    best = {name: clearly_best(part[name].tolist()) for name in columns}
    rows = [
        [
            Cell(str(row["method"]), below="" if row["encoder"] == "none" else str(row["encoder"])),
            *(_main_cell(str(row[name]), strong=best[name] == number) for name in columns),
        ]
        for number, row in enumerate(part.to_dict("records"))
    ]
    header = ["method", *("\n".join(name.rsplit(", ", 2)) for name in map(str, columns))]
    mine = shown_rows(results[results["protocol"] == protocol], task)
    caption = (
        f"{task.capitalize()}, protocol {protocol}: {_evaluated(mine)}. {detectable_note(mine)} Rule make_main_table, "
        f"file tables/main_{task}.csv."
    )
    return Table(caption, header, rows, frozenset(range(1, len(header))))


def _evaluated(mine: pd.DataFrame) -> str:
    said = []
    for cohort, rows in mine.groupby("cohort", sort=True):
        n, folds = (sorted({int(rows[name].min()), int(rows[name].max())}) for name in ("n", "folds"))
        said.append(f"{cohort}: n = {'-'.join(map(str, n))} in {'-'.join(map(str, folds))} folds")
    return "; ".join(said) or "no rows"


def _main_cell(text: str, *, strong: bool) -> Cell:
    parts = CELL.match(text)
    if parts is None:
        return Cell(text, strong=strong)
    interval = f"[{parts['interval']}]" if parts["interval"] else ""
    below = [interval, parts["verdict"] or "", parts["published"] or ""]
    return Cell(parts["value"].strip(), below=" ".join(filter(None, below)), strong=strong)


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
    if parts is None or not parts["interval"]:
        return None
    low, high = parts["interval"].split(", ")
    return float(low), float(high)


LONG_HEADER = (
    *("protocol", "cohort", "encoder", "method", "setting", "task", "metric", "mean ± sd", "interval"),
    *("n", "folds", "published", "delta", "comparable", "difference", "verdict", "remarks"),
)


LONG_NUMERIC = (*range(7, 13), 14)


def results_section(results: pd.DataFrame) -> Section:
    """results.csv in full; why a cell is not comparable stands once, under the table, by its number."""
    reasons = list(dict.fromkeys(text for text in results["why_not"].fillna("") if text))
    number = {reason: count for count, reason in enumerate(reasons, start=1)}
    rows = [_long_row(row, number) for row in results.to_dict("records")]
    filled = [i for i in range(len(LONG_HEADER)) if any(row[i].text for row in rows)]
    caption = (
        f"Every cell of this run, n = {len(rows)} rows of all protocols (rules evaluate and make_results, file "
        "tables/results.csv, which also has values by fold and the path of the predictions). n counts evaluated units "
        "over all folds. delta is given only where a cell is comparable with the published one; a number in brackets "
        "leads to the reason below. difference and verdict: against the reference on the patients that both have "
        "(paired bootstrap and corrected resampled t-test, the larger p adjusted after Holm)."
    )
    numeric = frozenset(place for place, i in enumerate(filled) if i in LONG_NUMERIC)
    header, body = [LONG_HEADER[i] for i in filled], [[row[i] for i in filled] for row in rows]
    blocks: list[Block] = [Table(caption, header, body, numeric, filterable=True)]
    if reasons:
        blocks += [Heading("Why cells are not comparable"), Listing(reasons, numbered=True)]
    return Section("results", "All results", blocks)


def _long_row(row: Mapping[Hashable, Any], number: Mapping[str, int]) -> list[Cell]:
    reason = _text(row["why_not"])
    interval = "" if _missing(row["ci_low"]) else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
    published = "" if _missing(row["published_mean"]) else value_text(row["published_mean"], row["published_sd"])
    return cells(
        *(_text(row[name]) for name in ("protocol", "cohort", "encoder", "method", "setting", "task", "metric")),
        value_text(row["mean"], row["sd"]),
        interval,
        row["n"],
        row["folds"],
        Cell(published, below="suspect" if _text(row["suspect"]) else ""),
        "" if _missing(row["delta"]) else f"{row['delta']:+.3f}",
        f"{row['comparable']} [{number[reason]}]" if reason else str(row["comparable"]),
        _difference(row),
        _verdict(row),
        "; ".join(filter(None, _remarks(row))),
    )


def _difference(row: Mapping[Hashable, Any]) -> Cell:
    if _missing(row["difference"]):
        return Cell("")
    low, high = row["difference_low"], row["difference_high"]
    return Cell(f"{row['difference']:+.3f}", below="" if _missing(low) else f"[{low:+.3f}, {high:+.3f}]")


def _verdict(row: Mapping[Hashable, Any]) -> Cell:
    against = f"p {row['p_holm']:.3f} against {_text(row['reference'])}" if not _missing(row["p_holm"]) else ""
    kind = "primary, " if row["comparison"] == "primary" else ""
    return Cell(_text(row["verdict"]), below=kind + against)


def _remarks(row: Mapping[Hashable, Any]) -> list[str]:
    tau, unstable = _text(row["tau_days"]), _text(row["unstable"])
    return [
        _text(row["why_undefined"]),
        _text(row["note"]),
        _text(row["verdict_note"]),
        _genes_saw(row.get("gene_labels")),
        f"tau by fold: {tau} days" if tau else "",
        f"unstable: {unstable}" if unstable else "",
        "encoder trained on the evaluated collection" if _text(row.get(SAW, "")) == "yes" else "",
        "" if _missing(row["seed_sd"]) else f"sd between {row['seeds']:.0f} seeds: {row['seed_sd']:.3f}",
    ]


def _genes_saw(labels: object) -> str:
    return "" if labels is None or _missing(labels) else f"genes chosen with {int(labels)} labels"  # type: ignore[call-overload]


def _missing(value: object) -> bool:
    return bool(pd.isna(value))  # type: ignore[call-overload]


def _text(value: object) -> str:
    return "" if _missing(value) else str(value)
