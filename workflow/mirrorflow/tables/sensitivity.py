"""The table of s1 and s2 (MIRROR, section V-C), ours beside the published values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mirrorflow.tables.render import in_brackets

METRICS = ("s1", "s1_slide", "s1_rna", "s2", "s2_slide", "s2_rna")
"""Of both inputs, of the slide's patches alone, of the RNA alone."""

NAMED = ["protocol", "cohort", "encoder", "method", "metric"]

WHY_NOT = "the published inputs' scale, bags, head and averaging are not stated"

CAPTION = (
    "Sensitivity of the logits to the input (MIRROR, Eq. 23 and 24): s1, the norm of the gradient of the true class's "
    "margin; s2, the Frobenius norm of the logits' Jacobian. Mean over the labelled units of an evaluation fold, then "
    "mean and standard deviation (ddof 1) over folds. The input is what the network receives: patch features as stored "
    "and genes as scaled for training; _slide and _rna: with respect to one of them. Smaller is flatter, not better by "
    "itself: it shrinks with the scale of the logits and grows as the inputs' units shrink, so that methods compare "
    "only on the same inputs. In brackets: published, which is not comparable (" + WHY_NOT + "); suspect: see that "
    "column of the CSV file."
)


def sensitivity_table(units: pd.DataFrame, published: pd.DataFrame, *, cohorts: Mapping[str, str]) -> pd.DataFrame:
    """One row a protocol, cohort, encoder, method and metric: mean, sd, n, folds, and the published values beside.

    ``units``: one row an evaluated unit with protocol, cohort, encoder, method, seed, fold and METRICS; ``cohorts``:
    path name -> published label.
    """
    long = units.melt(id_vars=[*NAMED[:-1], "seed", "fold"], value_vars=list(METRICS), var_name="metric")
    by_fold = long.groupby([*NAMED, "fold"], sort=False)["value"].mean()
    rows = by_fold.groupby(NAMED, sort=False).agg(["mean", "std", "count"]).reset_index()
    rows = rows.rename(columns={"std": "sd", "count": "folds"})
    seeds = units["seed"].nunique()
    counts = long.groupby(NAMED, sort=False).size().rename("n").reset_index()
    rows = rows.merge(counts, on=NAMED).assign(n=lambda frame: frame["n"] // seeds, _cohort=rows["cohort"].map(cohorts))
    known = published[(published["paper"] == "mirror") & (published["table"] == "V-C1")]
    known = known.rename(columns={"mean": "published_mean", "sd": "published_sd", "cohort": "_cohort"})
    key = ["_cohort", "encoder", "method", "metric"]
    joined = rows.merge(known[[*key, "published_mean", "published_sd", "suspect"]], how="left", on=key)
    there = joined["published_mean"].notna()
    return joined.drop(columns="_cohort").assign(
        suspect=joined["suspect"].fillna(""), comparable="no", why_not=np.where(there, WHY_NOT, "no published value")
    )


def shown(table: pd.DataFrame, titles: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """For a reader: a column a metric, four significant digits, the published value in brackets."""
    cells = table.assign(
        cell=[
            f"{mean:.4g}" + ("" if np.isnan(sd) else f" ± {sd:.2g}") + in_brackets(theirs, suspect)
            for mean, sd, theirs, suspect in table[["mean", "sd", "published_mean", "suspect"]].to_numpy()
        ],
        **{kind: table[kind].map(lambda name, kind=kind: titles[kind].get(name, name)) for kind in titles},
    )
    wide = cells.pivot_table(index=NAMED[:-1], columns="metric", values="cell", aggfunc="first", sort=False)
    titled = {name: name.capitalize() for name in NAMED[:-1]}
    return wide[list(METRICS)].reset_index().rename(columns=titled).rename_axis(None, axis=1)
