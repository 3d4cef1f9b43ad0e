"""The long table of results: every cell of a run, with a search field, verdict and reason beside the value."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from mirrorflow.report.blocks import Block, Cell, Heading, Listing, Section, Table, cells, counted
from mirrorflow.report.verdicts import difference_text, missing, text_of, verdict_cell
from mirrorflow.tables.main import value_text
from mirrorflow.tables.results import SAW

HEADER = (
    *("protocol", "cohort", "encoder", "method", "setting", "task", "metric", "mean ± sd", "verdict"),
    *("difference", "n", "published", "delta", "comparable", "remarks"),
)
NUMERIC = (7, 9, 10, 11, 12)
CHOICES = (0, 1, 2, 3, 4, 5, 6, 8)


def results_section(results: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Section:
    """results.csv in full; why a cell is not comparable stands once, under the table, by its number.

    titles: of methods.
    """
    reasons = list(dict.fromkeys(text for text in results["why_not"].fillna("") if text))
    number = {reason: count for count, reason in enumerate(reasons, start=1)}
    rows = [_long_row(row, number, titles or {}) for row in results.to_dict("records")]
    filled = [i for i in range(len(HEADER)) if any(row[i].text for row in rows)]
    caption = (
        f"Every cell of this run, n = {len(rows)} rows of all protocols (rules evaluate and make_results, file "
        "tables/results.csv, which also has values by fold and the path of the predictions). Below a mean stands its "
        "bootstrap interval. n counts evaluated units over all folds, whose number stands below "
        "it. delta is given only where a cell is comparable "
        "with the published one; a number in brackets leads to the reason below. difference and verdict: against the "
        "reference on the patients that both have (paired bootstrap and corrected resampled t-test, the larger p "
        "adjusted after Holm). Dotted underlines open: a verdict's reason, a row's remarks."
    )
    numeric, choices = (
        frozenset(place for place, i in enumerate(filled) if i in chosen) for chosen in (NUMERIC, CHOICES)
    )
    header, body = [HEADER[i] for i in filled], [[row[i] for i in filled] for row in rows]
    blocks: list[Block] = [Table(caption, header, body, numeric, filterable=True, choices=choices)]
    if reasons:
        blocks += [Heading("Why cells are not comparable"), Listing(reasons, numbered=True)]
    return Section("results", "All results", blocks)


def _long_row(row: Mapping[Hashable, Any], number: Mapping[str, int], titles: Mapping[str, str]) -> list[Cell]:
    reason = text_of(row["why_not"])
    interval = "" if missing(row["ci_low"]) else f"[{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    published = "" if missing(row["published_mean"]) else value_text(row["published_mean"], row["published_sd"])
    difference, _, between = difference_text(row).partition(" ")
    return cells(
        *(text_of(row[name]) for name in ("protocol", "cohort", "encoder", "method", "setting", "task", "metric")),
        Cell(value_text(row["mean"], row["sd"]), below=interval),
        _verdict(row, titles),
        Cell(difference, below=between),
        Cell(str(row["n"]), below=counted(int(row["folds"]), "fold")),
        Cell(published, below="suspect" if text_of(row["suspect"]) else ""),
        "" if missing(row["delta"]) else f"{row['delta']:+.3f}",
        f"{row['comparable']} [{number[reason]}]" if reason else str(row["comparable"]),
        _remarks(row),
    )


def _verdict(row: Mapping[Hashable, Any], titles: Mapping[str, str]) -> Cell:
    found = verdict_cell(row, titles)
    below = "" if missing(row["p_holm"]) else f"p {row['p_holm']:.3f}"
    return Cell(found.text, below=below, badge=found.badge, why=found.why)


def _remarks(row: Mapping[Hashable, Any]) -> Cell:
    said = list(filter(None, _all_remarks(row)))
    return Cell(counted(len(said), "remark"), why="; ".join(said)) if said else Cell("")


def _all_remarks(row: Mapping[Hashable, Any]) -> list[str]:
    tau, unstable = text_of(row["tau_days"]), text_of(row["unstable"])
    return [
        text_of(row["why_undefined"]),
        text_of(row["note"]),
        text_of(row["verdict_note"]),
        _genes_saw(row.get("gene_labels")),
        f"tau by fold: {tau} days" if tau else "",
        f"unstable: {unstable}" if unstable else "",
        "encoder trained on the evaluated collection" if text_of(row.get(SAW, "")) == "yes" else "",
        "" if missing(row["seed_sd"]) else f"sd between {row['seeds']:.0f} seeds: {row['seed_sd']:.3f}",
    ]


def _genes_saw(labels: object) -> str:
    return "" if labels is None or missing(labels) else f"genes chosen with {int(labels)} labels"  # type: ignore[call-overload]
