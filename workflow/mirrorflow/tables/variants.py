"""The tables of :mod:`mirrorflow.tables.further`, from results.csv and the published values."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.tables.further import FurtherTable, methods_of
from mirrorflow.tables.main import MAIN_METRICS, wide_table
from mirrorflow.tables.results import published_key, published_place

PLACE = ["cohort", "encoder", "setting", "method", "metric"]
PUBLISHED = ["published_mean", "published_sd", "suspect"]


def variant_table(
    table: FurtherTable,
    results: pd.DataFrame,
    published: pd.DataFrame,
    names: pd.DataFrame,
    methods: Sequence[str],
    titles: Mapping[str, str],
) -> pd.DataFrame:
    """Wide table: protocol, encoder and method down, a column per cohort, setting and metric.

    The published value in a cell is that of the table's own number (a method can stand in several), marked where it
    is suspect. methods: of the run, in order; titles: cohort -> label.
    """
    rows = shown_in(table, results, methods).drop(columns=PUBLISHED)
    keys = pd.DataFrame([_published_place(table, row, names) for row in rows.to_dict("records")], index=rows.index)
    known = _published_values(table, published)
    found = [known.get(tuple(key), (np.nan, np.nan, "")) for key in keys.to_numpy()] if len(rows) else []
    rows = rows.assign(**{name: [value[i] for value in found] for i, name in enumerate(PUBLISHED)})
    order = methods_of(table, methods)
    return wide_table(rows, order, {**_adapted_titles(rows, titles), **titles})


def shown_in(table: FurtherTable, results: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The cells of results.csv that a table shows."""
    metrics = [metric for task in table.tasks for metric in MAIN_METRICS[task]]
    adapted = results["cohort"].astype(str).str.fullmatch(ADAPTED.pattern)
    few_shot = results["setting"] != "all"
    return results[
        results["metric"].isin(metrics)
        & results["task"].isin(table.tasks)
        & results["method"].isin(methods_of(table, methods))
        & (adapted == table.adapted)
        & (few_shot == table.few_shot)
    ]


def _published_place(table: FurtherTable, row: Mapping[object, object], names: pd.DataFrame) -> tuple[str, ...]:
    """Cohort, encoder, setting, method and metric as the published tables call them."""
    cohorts, labels = published_key(names, "cohort"), published_key(names, "method")
    cohort, setting = published_place(str(row["cohort"]), str(row["setting"]))
    method = str(row["method"])
    label = table.relabelled.get(method) or labels.get(method) or ("" if "--" in method else method)
    return cohorts.get(cohort, ""), str(row["encoder"]), setting, label, str(row["metric"])


def _published_values(table: FurtherTable, published: pd.DataFrame) -> dict[tuple[str, ...], tuple[float, float, str]]:
    mine = published[(published["paper"] == "mirror") & published["table"].isin(table.published)]
    keys = zip(*(mine[name].astype(str) for name in PLACE), strict=True)
    return dict(zip(keys, zip(mine["mean"], mine["sd"], mine["suspect"], strict=True), strict=True))


def _adapted_titles(rows: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, str]:
    """``nsclc--from--brca`` -> ``TCGA-NSCLC from TCGA-BRCA``."""
    found = {}
    for cohort in set(rows["cohort"]):
        if adapted := ADAPTED.fullmatch(str(cohort)):
            target, source = adapted["target"], adapted["source"]
            found[str(cohort)] = f"{titles.get(target, target)} from {titles.get(source, source)}"
    return found
