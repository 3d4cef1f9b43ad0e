"""The long table: one row a cell, ours beside the published value."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

CELL = ["protocol", "cohort", "encoder", "setting", "task", "method", "metric"]
"""What names a cell."""
ESTIMATE = ["mean", "sd", "ci_low", "ci_high", "n", "folds"]
BESIDE = ["published_mean", "published_sd", "suspect", "delta", "comparable", "why_not"]
FURTHER = ["patients", "by_fold", "why_undefined", "note", "gene_labels"]
COLUMNS = [*CELL, *ESTIMATE, *BESIDE, "predictions", *FURTHER]
NUMBERS = [*ESTIMATE, "published_mean", "published_sd", "delta", "patients", "gene_labels"]
"""The columns that hold numbers; an empty cell of theirs is NaN, of all others the empty string."""


def published_key(names: pd.DataFrame, kind: str, column: str = "published") -> dict[str, str]:
    """Path name -> published label (or ``title``) of one kind (cohort, method, ...) from resources/names.tsv."""
    mine = names[names["kind"] == kind]
    return dict(zip(mine["name"], mine[column], strict=True))


def beside_published(
    cells: pd.DataFrame,
    published: pd.DataFrame,
    names: pd.DataFrame,
    why_not: Callable[[Mapping[str, object]], list[str]],
) -> pd.DataFrame:
    """The cells with published_mean, published_sd, suspect, comparable, why_not and delta.

    ``published`` is resources/published_results.csv; MIRROR's Tables III and IV are matched. ``why_not`` says
    for a cell what differs; ``delta`` (ours less published) is given only where nothing does.
    """
    tables = published[(published["paper"] == "mirror") & published["table"].isin(["III", "IV"])]
    key = ["cohort", "encoder", "setting", "task", "method", "metric"]
    known = tables.rename(columns={"mean": "published_mean", "sd": "published_sd"})
    known = known[[*key, "published_mean", "published_sd", "suspect"]].rename(columns={"cohort": "_cohort"})
    cohorts = published_key(names, "cohort")
    joined = cells.assign(_cohort=cells["cohort"].map(cohorts).fillna(""))
    joined = joined.merge(known, how="left", on=["_cohort", *key[1:]]).drop(columns="_cohort")
    reasons = [why_not({str(key): value for key, value in row.items()}) for row in joined.to_dict("records")]
    there = joined["published_mean"].notna().to_numpy()
    comparable = np.array([not reason for reason in reasons]) & there
    joined["comparable"] = np.where(comparable, "yes", "no")
    joined["why_not"] = [
        "; ".join(reason) if found else "; ".join(["no published value", *reason])
        for reason, found in zip(reasons, there, strict=True)
    ]
    joined["delta"] = np.where(comparable, joined["mean"] - joined["published_mean"], np.nan)
    joined["suspect"] = joined["suspect"].fillna("")
    return joined[COLUMNS]
