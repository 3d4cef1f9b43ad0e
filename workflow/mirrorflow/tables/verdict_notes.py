"""What a table says of its verdicts, in a few sentences: the rule, the primary comparison, what it could have found."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mirrorflow.tables.main import TITLES

COLUMN = ["protocol", "cohort", "setting", "metric"]
"""What is compared at a glance."""


def verdict_notes(rows: pd.DataFrame) -> str:
    """Sentences on the verdicts of these rows of results.csv, with a space behind; empty where there is none."""
    return "".join(f"{sentence} " for sentence in (rule_note(rows), detectable_note(rows)) if sentence)


def rule_note(rows: pd.DataFrame) -> str:
    """The rule of the verdicts and the primary comparison among them."""
    named = rows[rows["reference"].fillna("") != ""]
    cohorts: dict[str, list[str]] = {}
    for name, part in named.groupby(named["reference"].str.split(" ").str[0]):
        cohorts[str(name)] = sorted(set(part["cohort"]))
    return " ".join(filter(None, (_rule(_references(cohorts)), primary_note(rows)))) if cohorts else ""


def _references(cohorts: Mapping[str, Sequence[str]]) -> str:
    """The reference; where a cohort lacks what it sees and has another, each with its cohorts."""
    if len(cohorts) == 1:
        return next(iter(cohorts))
    return " or ".join(f"{name} ({', '.join(of)})" for name, of in cohorts.items())


def _rule(reference: str) -> str:
    return (
        f"Better, worse: than {reference} on the patients that both have, where paired bootstrap and corrected "
        "resampled t-test agree, after Holm over the methods of a column; not distinguishable: at this number of "
        "patients or, where it says so, of resamples; no verdict: one fold, so no t-test."
    )


def primary_note(rows: pd.DataFrame) -> str:
    """Which comparison was named before the run; that all others are exploratory."""
    if not (rows["comparison"].fillna("") != "").any():
        return ""
    found = rows[rows["comparison"] == "primary"]
    if found.empty:
        return "Every comparison here is exploratory."
    row = {str(key): value for key, value in found.iloc[0].items()}
    return f"Primary, named before the run and not adjusted: {_comparison(row)}. All others are exploratory."


def _comparison(row: Mapping[str, object]) -> str:
    place = ", ".join(str(row[key]) for key in ("protocol", "cohort", "encoder", "setting") if row[key] != "none")
    return f"{row['method']} against {row['reference']} by {row['metric']} ({place})"


def detectable_note(rows: pd.DataFrame) -> str:
    """The smallest difference that 80 % of studies like this one would find: median of a column, by metric."""
    known = rows.dropna(subset=["detectable"])
    said = [
        f"{TITLES.get(str(metric), str(metric))} {_range(part, 'detectable')} "
        f"({_range(part, 'detectable_holm')} after Holm)"
        for metric, part in known.groupby("metric", sort=False)
    ]
    return f"Smallest difference detectable with 80 % power: {'; '.join(said)}." if said else ""


def _range(rows: pd.DataFrame, column: str) -> str:
    medians = rows.groupby(COLUMN)[column].median()
    low, high = f"{medians.min():.2f}", f"{medians.max():.2f}"
    return low if low == high else f"{low} to {high}"
