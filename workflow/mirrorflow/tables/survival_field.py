"""The table of the field: methods down, the mean over cohorts first, the cohorts behind it (TTA, Tables 1 and 8)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mirrorflow.evaluation.field_rows import MEAN
from mirrorflow.tables.main import cell_text
from mirrorflow.tables.results import as_beside, published_key, told_apart
from mirrorflow.tables.verdict_notes import detectable_note

TABLES = ("1", "8")
"""TTA's tables of whole methods, by encoder."""
NO_SLIDES = "none"
"""The encoder of methods without slides."""
NAMED = ["protocol", "encoder", "method", "cohort"]
VALUES = ["mean", "sd", "ci_low", "ci_high"]
PUBLISHED = ["published_mean", "published_sd", "suspect", "published_ddof", "comparable", "why_not"]
COMPARED = [
    *("reference", "difference", "difference_low", "difference_high"),
    *("p_value", "p_t_test", "p_holm", "detectable", "detectable_holm"),
    *("verdict", "comparison"),
]
COLUMNS = [*NAMED, *VALUES, *PUBLISHED, *COMPARED, "patients", "folds", "mean_rank", "rank_shares"]
WITHIN = ["within_class", "within_class_low", "within_class_high"]
COLUMNS += ["best_epoch", "best_less_last", *WITHIN, "note"]
NUMBERS = [*VALUES, "published_mean", "published_sd", *COMPARED[1:-2], "patients", "folds", "mean_rank"]
NUMBERS += ["best_epoch", "best_less_last", *WITHIN]
CAPTION = (
    "The field: C-index of disease-specific survival of all methods of the run that are no variant. Equal settings "
    "are not equal tuning: a verdict holds at these settings. Mean of the cohorts: each counts alike, as in TTA's "
    "Table 1; it is the primary figure (comparison: over cohorts). All else is exploratory, but for a cohort's "
    "comparison that was named before the run, which is marked primary and not adjusted. The mean's interval, "
    "difference and verdict rest on the patients that all methods of a protocol and encoder predict (methods without "
    "slides stand with every encoder), on one bootstrap of patients within folds, and on a corrected t-test over "
    "folds; both must find a difference after Holm's adjustment over the methods. Rank: the mean rank by that mean "
    "over the resamples, and the share of them in which the method is first; methods that tie share their ranks. Best "
    "epoch: what reporting each fold's best epoch on the evaluated patients, a leak, would have given from the same "
    "training, and what that adds to its last. Within classes: the C-index among patients of one class (subtype), "
    "which knowing the class alone leaves at 0.5. Cohorts: mean ± standard deviation over folds (ddof 1), interval "
    "and verdict, as in results.csv. Published values in brackets, suspect ones marked; how the paper trained methods "
    "other than its own is not published."
)


def as_table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The rows with all COLUMNS: an empty cell of NUMBERS is NaN, of all others the empty string."""
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    for name in COLUMNS:
        table[name] = table[name].astype(float) if name in NUMBERS else table[name].fillna("").astype(object)
    return table


def caption(table: pd.DataFrame) -> str:
    """CAPTION, and the smallest difference that the mean and a cohort could have shown."""
    what = np.where(table["cohort"] == MEAN, "C-index, mean of the cohorts,", "C-index of a cohort")
    return f"{CAPTION} {detectable_note(table.assign(metric=what, setting='all'))}".strip()


def shown(table: pd.DataFrame, titles: Mapping[str, Mapping[str, str]], cohorts: Sequence[str]) -> pd.DataFrame:
    """For a reader: a row a protocol, encoder and method; the mean, ranks, a column a cohort, notes."""
    rows, named = [], told_apart(titles["cohort"], cohorts)
    for key, part in table.groupby(NAMED[:3], sort=False):
        protocol, encoder, method = map(str, key)
        by_cohort = {str(row["cohort"]): row for row in part.to_dict("records")}
        line = {"Protocol": protocol, "Encoder": encoder, "Method": titles["method"].get(method, method)}
        line["Mean of the cohorts"] = _cell(by_cohort.get(MEAN))
        line["Rank"] = _rank(by_cohort.get(MEAN))
        if table["best_epoch"].notna().any():
            line["Best epoch"] = _best(by_cohort.get(MEAN))
        for cohort in cohorts:
            line[named[cohort]] = _cell(by_cohort.get(cohort))
        for cohort in cohorts:
            if within := _within(by_cohort.get(cohort)):
                line[f"{named[cohort]}, within classes"] = within
        line["Left out"] = "; ".join(dict.fromkeys(str(row["note"]) for row in by_cohort.values() if row["note"]))
        rows.append(line)
    return pd.DataFrame(rows, columns=None if rows else ["Protocol", "Encoder", "Method"])


def _cell(row: Mapping[object, object] | None) -> str:
    if row is None or np.isnan(float(row["mean"])):  # type: ignore[arg-type]
        return ""
    return cell_text({str(key): value for key, value in row.items()})


def _within(row: Mapping[object, object] | None) -> str:
    if row is None or np.isnan(float(row["within_class"])):  # type: ignore[arg-type]
        return ""
    text = f"{row['within_class']:.3f}"
    if np.isnan(float(row["within_class_low"])):  # type: ignore[arg-type]
        return text
    return f"{text} [{row['within_class_low']:.3f}, {row['within_class_high']:.3f}]"


def _best(row: Mapping[object, object] | None) -> str:
    if row is None or np.isnan(float(row["best_epoch"])):  # type: ignore[arg-type]
        return ""
    return f"{row['best_epoch']:.3f} ({row['best_less_last']:+.3f})"


def _rank(row: Mapping[object, object] | None) -> str:
    if row is None or not row["rank_shares"]:
        return ""
    first = float(str(row["rank_shares"]).split()[0])
    return f"{row['mean_rank']:.1f} (first in {first:.0%})"


def published_means(
    table: pd.DataFrame, published: pd.DataFrame, names: pd.DataFrame, cohorts: Sequence[str]
) -> pd.DataFrame:
    """The published mean over cohorts beside ours, where ours is of the cohorts that it is of, and no other.

    cohorts: of the run; where a method lacks one, or one is withheld, there is no mean of ours.
    published: resources/published_results.csv; names: resources/names.tsv. A method without slides stands with every
    encoder, its published value with none.
    """
    known = published[(published["paper"] == "tta") & published["table"].isin(TABLES)]
    labels, methods = (published_key(names, kind) for kind in ("cohort", "method"))
    if {labels.get(cohort, cohort) for cohort in cohorts} != set(known["cohort"]) - {MEAN}:
        return table
    means = as_beside(known[known["cohort"] == MEAN]).set_index(["encoder", "method"])
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    for row in rows:
        method = methods.get(str(row["method"]), row["method"])
        key = next((key for key in ((row["encoder"], method), (NO_SLIDES, method)) if key in means.index), None)
        if row["cohort"] == MEAN and key is not None and not np.isnan(row["mean"]):
            found = means.loc[key]
            row |= {name: found[name] for name in ("published_mean", "published_sd", "suspect", "published_ddof")}
            row |= {"comparable": "no", "why_not": "as its cohorts"}
    return as_table(rows)
