"""The tables of :mod:`mirrorflow.tables.further`, from results.csv and the published values."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.tables.further import FurtherTable, methods_of
from mirrorflow.tables.main import MAIN_METRICS, wide_table
from mirrorflow.tables.results import PUBLISHED, as_beside, published_key, published_metric, published_place

PLACE = ["cohort", "encoder", "setting", "method", "metric"]
NO_VALUE = (np.nan, np.nan, "", "")
OF_COHORT = ("patient_set", "train_patients", "verdict", "note")
"""Columns of results.csv that say nothing of a mean over cohorts."""
MEAN, OVERALL = "mean", "Mean of the cohorts"
"""What the published values call the mean over TTA's cohorts, and what a table of ours does (no cohort's name)."""


def variant_table(
    table: FurtherTable,
    results: pd.DataFrame,
    published: pd.DataFrame,
    names: pd.DataFrame,
    methods: Sequence[str],
    titles: Mapping[str, str],
    dss: Collection[str] = (),
) -> pd.DataFrame:
    """Wide table: protocol, encoder and method down, a column per cohort, setting and metric.

    The published value in a cell is that of the table's own number (a method can stand in several), marked where it
    is suspect. methods: of the run, in order; titles: cohort -> label; dss: cohorts whose outcome is disease-specific
    survival, which TTA's tables are of and MIRROR's are not. TTA's have the mean over their cohorts, too, where the
    run has them all.
    """
    rows = shown_in(table, results, methods).drop(columns=PUBLISHED, errors="ignore")
    known, labels = _published_values(table, published), published_key(names, "cohort")
    if table.paper == "tta":
        rows = _with_means(rows, known, {name: labels.get(name, "") for name in dss})
    places = [_published_place(table, row, names, dss) for row in rows.to_dict("records")]
    found = [known.get(place, NO_VALUE) for place in places]
    rows = rows.assign(**{name: [value[i] for value in found] for i, name in enumerate(PUBLISHED)})
    order = methods_of(table, methods)
    return wide_table(rows, order, {**_adapted_titles(rows, titles), **titles})


def _with_means(rows: pd.DataFrame, known: Collection[tuple[str, ...]], labels: Mapping[str, str]) -> pd.DataFrame:
    """The rows, and one more for each method that has all published cohorts: the mean over them, without an interval.

    labels: of the cohorts whose outcome is the published one.
    """
    wanted = {cohort for cohort, *_ in known} - {MEAN}
    mine = rows[rows["cohort"].map(labels).isin(wanted)]
    found = []
    for _, part in mine.groupby(["protocol", "encoder", "setting", "method", "metric"], sort=False):
        if set(part["cohort"].map(labels)) == wanted:
            apart = {"cohort": OVERALL, "mean": part["mean"].mean(skipna=False)} | dict.fromkeys(OF_COHORT, "")
            numbers = dict.fromkeys(("sd", "ci_low", "ci_high", "n", "patients"), np.nan)
            found.append(part.iloc[0].to_dict() | numbers | apart)
    return pd.DataFrame([*rows.to_dict("records"), *found], columns=rows.columns)


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


def _published_place(
    table: FurtherTable, row: Mapping[object, object], names: pd.DataFrame, dss: Collection[str]
) -> tuple[str, ...]:
    """Cohort, encoder, setting, method and metric as the published tables call them."""
    cohorts, labels = published_key(names, "cohort"), published_key(names, "method")
    cohort, setting = published_place(str(row["cohort"]), str(row["setting"]))
    method = str(row["method"])
    label = table.relabelled.get(method) or labels.get(method) or ("" if "--" in method else method)
    place = MEAN if cohort == OVERALL else cohorts.get(cohort, "")
    metric = published_metric(str(row["metric"]), disease_specific=cohort in {OVERALL, *dss})
    return place, str(row["encoder"]), setting, label, metric


def _published_values(table: FurtherTable, published: pd.DataFrame) -> dict[tuple[str, ...], tuple[float | str, ...]]:
    mine = as_beside(published[(published["paper"] == table.paper) & published["table"].isin(table.published)])
    keys = zip(*(mine[name].astype(str) for name in PLACE), strict=True)
    return dict(zip(keys, zip(*(mine[name] for name in PUBLISHED), strict=True), strict=True))


def _adapted_titles(rows: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, str]:
    """``nsclc--from--brca`` -> ``TCGA-NSCLC from TCGA-BRCA``."""
    found = {}
    for cohort in set(rows["cohort"]):
        if adapted := ADAPTED.fullmatch(str(cohort)):
            target, source = adapted["target"], adapted["source"]
            found[str(cohort)] = f"{titles.get(target, target)} from {titles.get(source, source)}"
    return found
