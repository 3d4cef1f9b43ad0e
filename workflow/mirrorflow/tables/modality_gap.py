"""The table of distances between slide and RNA vectors, beside what MIRROR's Figure 5 says of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mirrorflow.evaluation.modalities import GAP, KS, PAIRS, RELATIVE, SPREAD, TO_RNA, TO_SLIDE
from mirrorflow.tables.results import told_apart

COLUMNS = [
    *("protocol", "cohort", "encoder", "method", "space", "fold"),
    *("measure", "value", "low", "high", "by_chance", "units"),
]
LESS = "less than TANGLE's"
SHOWN = (PAIRS, SPREAD, RELATIVE, GAP, *(name.format(k=k) for k in KS for name in (TO_RNA, TO_SLIDE)), LESS)
CAPTION = (
    "Slide and RNA vectors of evaluation patients, by models that were not trained on them, all at length 1. Space: "
    "vectors, as the probe takes them, or aligned, as InfoNCE compares them. Distance of pairs: mean Euclidean "
    "distance of a unit's slide and RNA vector, in brackets that of different patients'; spread: mean distance of "
    "different patients' vectors, a mean of both modalities; centroid gap: distance of the two means, without what "
    "the scatter of patients adds. Recall: units whose own patient is among the k nearest of the other modality, in "
    "brackets what chance gives. Mean over folds; interval of a bootstrap over patients within folds, widened for "
    "training patients that folds share; modality_gap.csv has each fold. Less than TANGLE's: by which share the "
    "distance of pairs is below it, on the same patients. MIRROR's Figure 5 says 29.02 % on TCGA-NSCLC: which "
    "vectors, scaled how, of which patients and folds is not published, and an unscaled distance follows the length "
    "of the vectors, so that the two do not compare."
)


def shown(table: pd.DataFrame, titles: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """For a reader: a row a method and space, means over folds with their intervals."""
    means = table[table["fold"].astype(str) == ""]
    rows, titles = [], {**titles, "cohort": told_apart(titles.get("cohort", {}), map(str, means["cohort"]))}
    for key, part in means.groupby(COLUMNS[:5], sort=False):
        named = dict(zip(("Protocol", "Cohort", "Encoder", "Method", "Space"), map(str, key), strict=True))
        named |= {name: titles.get(name.lower(), {}).get(named[name], named[name]) for name in ("Cohort", "Method")}
        by_measure = {row["measure"]: row for row in part.to_dict("records")}
        rows.append(named | {name[0].upper() + name[1:]: _cell(by_measure.get(name)) for name in SHOWN})
    found = pd.DataFrame(rows, columns=None if rows else ["Protocol", "Cohort", "Encoder", "Method", "Space"])
    return found.loc[:, [name for name in found if found[name].astype(bool).any() or name == "Method"]]


def _cell(row: Mapping[object, object] | None) -> str:
    if row is None or np.isnan(float(row["value"])):  # type: ignore[arg-type]
        return ""
    text = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    return text if np.isnan(float(row["by_chance"])) else f"{text} ({row['by_chance']:.3f})"  # type: ignore[arg-type]
