"""The optimism table: what each published choice adds to a method's numbers, one change at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.tables.main import TITLES
from mirrorflow.tables.results import told_apart

CELL = ["cohort", "encoder", "method", "setting", "task", "metric"]
COLUMNS = [
    *CELL, "change", "base_value", "change_value", "base_mean", "change_mean",
    "worth", "ci_low", "ci_high", "p_value", "pairing", "patients",
]  # fmt: skip
TOGETHER = "all together"


def optimism_table(rows: pd.DataFrame, titles: Mapping[str, str], single_changes: Sequence[str]) -> pd.DataFrame:
    """Wide table of the long one: a line per cohort, method, encoder and metric (all data), a column per single change.

    A cell reads ``+0.021 [-0.004, +0.046]``: the mean under the change less that under the base, with its paired
    interval. ``titles``: cohorts' labels; ``single_changes``: the columns' order.
    """
    shown = rows[(rows["setting"] == "all") & rows["metric"].isin(["accuracy", "c_index"])]
    lines, titles = [], told_apart(titles, map(str, shown["cohort"]))
    for key, part in shown.groupby(["cohort", "method", "encoder", "metric"], sort=False):
        cohort, method, encoder, metric = map(str, key)
        line = {"cohort": titles[cohort], "method": method, "encoder": encoder, "metric": TITLES[metric]}
        line["base"] = _number(part["base_mean"].iloc[0])
        by_single_change = {row["change"]: row for row in part.to_dict("records")}
        lines.append(
            line | {single_change: _cell(by_single_change.get(single_change)) for single_change in single_changes}
        )
    return pd.DataFrame(lines, columns=["cohort", "method", "encoder", "metric", "base", *single_changes])


def _cell(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return ""
    text = _number(row["worth"], sign="+")
    return text if np.isnan(row["ci_low"]) else f"{text} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"


def _number(value: float, sign: str = "") -> str:
    return "undefined" if np.isnan(value) else f"{value:{sign}.3f}"
