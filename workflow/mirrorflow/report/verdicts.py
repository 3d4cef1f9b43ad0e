"""Verdicts in a word, with the reason behind it: what was compared with what, and by how much they differ."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from mirrorflow.report.blocks import Badge, Cell

ALIKE = "not distinguishable"
"""How tables call what the page calls ``not told apart`` (mirrorflow.evaluation.verdicts, which needs scipy)."""
BADGES: Mapping[str, Badge] = {"better": "better", "worse": "worse", ALIKE: "alike", "reference": "reference"}
WORDS = {ALIKE: "not told apart"}

Row = Mapping[Hashable, Any]
"""A row of results.csv."""


def verdict_cell(row: Row, titles: Mapping[str, str]) -> Cell:
    """The verdict of a row of results.csv; empty without one. titles: of methods."""
    kind, _, more = text_of(row["verdict"]).partition(": ")
    if not kind:
        return Cell("")
    text = WORDS.get(kind, kind) + (" (primary)" if row["comparison"] == "primary" else "")
    return Cell(text, badge=BADGES.get(kind, "alike"), why=_why(row, kind, more, titles))


def verdict_of_text(text: str) -> Cell:
    """The verdict of a main table's cell whose row of results.csv is not known: without numbers behind it."""
    primary = " (primary)" if text.startswith("primary: ") else ""
    kind, _, more = text.removeprefix("primary: ").partition(": ")
    return Cell(WORDS.get(kind, kind) + primary, badge=BADGES.get(kind, "alike"), why=more)


def _why(row: Row, kind: str, more: str, titles: Mapping[str, str]) -> str:
    if kind == "reference":
        return "All others are held against this method, named before the run."
    difference = difference_text(row)
    against = named(text_of(row["reference"]), titles)
    said = [
        f"{difference} against {against}, on the patients that both have" if difference else "",
        f"p {row['p_holm']:.3f}" + _adjusted(row) if not missing(row["p_holm"]) else "",
        more,
        text_of(row["verdict_note"]),
        _meaning(kind),
    ]
    return "; ".join(filter(None, said)) + "."


def _adjusted(row: Row) -> str:
    return ", not adjusted: named before the run" if row["comparison"] == "primary" else " after Holm, exploratory"


def _meaning(kind: str) -> str:
    if kind in ("better", "worse"):
        return "paired bootstrap and corrected resampled t-test agree"
    return "these patients do not tell the two apart, which does not mean that they are equal" if kind == ALIKE else ""


def difference_text(row: Row) -> str:
    """``-0.049 [-0.120, +0.022]``; empty where nothing was compared."""
    if missing(row["difference"]):
        return ""
    low, high = row["difference_low"], row["difference_high"]
    return f"{row['difference']:+.3f}" + ("" if missing(low) else f" [{low:+.3f}, {high:+.3f}]")


def named(name: str, titles: Mapping[str, str]) -> str:
    """``mirror (phikon)`` with the method's title."""
    method, _, encoder = name.partition(" ")
    return f"{titles.get(method, method)} {encoder}".strip()


def missing(value: object) -> bool:
    """Whether a cell of results.csv is empty."""
    return bool(pd.isna(value))  # type: ignore[call-overload]


def text_of(value: object) -> str:
    """A cell of results.csv as text; empty where it is."""
    return "" if missing(value) else str(value)
