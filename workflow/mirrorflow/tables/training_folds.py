"""The table of survival probes scored on the units they were fitted on (MIRROR, section V-C): no evaluation."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mirrorflow.metrics.follow_up import GRID_POINTS
from mirrorflow.tables.main import value_text
from mirrorflow.tables.render import in_brackets

METRICS = ("ibs", "mean_t_auc", "mean_brier")
"""What section V-C publishes; mean_brier is the mean over the time grid."""
TRAINING, EVALUATION = "training", "evaluation"
PARTS = {TRAINING: "training (fitted on)", EVALUATION: "evaluation"}
"""Part of a fold that is scored -> how a reader is told."""
NAMED = ["protocol", "cohort", "encoder", "method"]
NUMBERS = ["mean", "sd", "n", "patients", "folds", "seeds", "seed_sd"]
SCORED = ["part", "metric", *NUMBERS, "by_fold", "tau_days", "unstable", "why_undefined"]
COLUMNS = [*NAMED, *SCORED, "published_mean", "published_sd", "suspect", "comparable", "why_not"]
HEADER = {"ibs": "IBS", "mean_t_auc": "Mean t-AUC", "mean_brier": "Mean Brier"}

WHY_NOT = "the published time grid, censoring weights, epoch and folds are not stated"

CAPTION = (
    "NO EVALUATION: rows 'training (fitted on)' score the survival probe of each pretrained method on the very units "
    "that its head was fitted on, as MIRROR's section V-C does; such values say how closely a head fits, not how well "
    "it predicts, and a method that memorises its training units wins. Rows 'evaluation' score the same head on the "
    "fold's held-out units, as everywhere else in the run. All training data, the epoch that the protocol reports. "
    "IBS: Brier score integrated over the time grid, divided by its length; mean t-AUC: cumulative/dynamic AUC over "
    f"the grid; mean Brier: plain mean of the Brier scores over the grid. The grid is {GRID_POINTS} evenly spaced "
    "times from the first event of the scored units up to tau; all three weight by the censoring of training patients. "
    "Lower is better for both Brier scores. Mean and standard deviation (ddof 1) over folds. In brackets: published, "
    "on training folds, which is not comparable (" + WHY_NOT + "); suspect: see that column of the CSV file."
)


def training_folds_table(
    scored: pd.DataFrame, published: pd.DataFrame, *, cohorts: Mapping[str, str], encoders: Mapping[str, str]
) -> pd.DataFrame:
    """``scored`` rows (NAMED and SCORED) with the values of table V-C2 beside those of training folds; COLUMNS.

    ``published`` is resources/published_results.csv; ``cohorts``, ``encoders``: path name -> published label.
    """
    known = published[(published["paper"] == "mirror") & (published["table"] == "V-C2")]
    known = known.rename(columns={"mean": "published_mean", "sd": "published_sd"})
    known = known.rename(columns={"cohort": "_cohort", "encoder": "_encoder"}).assign(part=TRAINING)
    key = ["_cohort", "_encoder", "method", "part", "metric"]
    keyed = scored.assign(
        _cohort=[cohorts.get(name, "") for name in scored["cohort"]],
        _encoder=[encoders.get(name, name) for name in scored["encoder"]],
    )
    joined = keyed.merge(known[[*key, "published_mean", "published_sd", "suspect"]], how="left", on=key)
    there = joined["published_mean"].notna()
    return joined.assign(
        suspect=joined["suspect"].fillna(""), comparable="no", why_not=np.where(there, WHY_NOT, "no published value")
    )[COLUMNS]


def shown(table: pd.DataFrame, titles: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """For a reader: a column a metric, training and evaluation below each other, the published value in brackets."""
    values = table[["mean", "sd", "published_mean", "suspect"]].to_numpy()
    cells = table.assign(
        cell=[value_text(mean, sd) + in_brackets(theirs, suspect) for mean, sd, theirs, suspect in values],
        part=table["part"].map(PARTS),
        **{kind: table[kind].map(lambda name, kind=kind: titles[kind].get(name, name)) for kind in titles},
    )
    wide = cells.pivot_table(index=[*NAMED, "part"], columns="metric", values="cell", aggfunc="first", sort=False)
    titled = {name: name.capitalize() for name in [*NAMED, "part"]}
    return wide.reindex(columns=list(METRICS)).reset_index().rename(columns=titled | HEADER).rename_axis(None, axis=1)
