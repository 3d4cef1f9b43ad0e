"""The long table: one row a cell, ours beside the published value."""

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.config.methods import METHODS
from mirrorflow.config.protocols import SINGLE_CHANGE

CELL = ["protocol", "cohort", "encoder", "setting", "task", "method", "metric"]
"""What names a cell."""
ESTIMATE = ["mean", "sd", "ci_low", "ci_high", "n", "folds"]
BESIDE = ["published_mean", "published_sd", "suspect", "delta", "comparable", "why_not"]
TESTED = ["p_value", "p_t_test", "p_holm", "detectable", "detectable_holm"]
"""p of the paired bootstrap and of the corrected t-test, the larger one adjusted; what 80 % of studies would find."""
VERDICT = ["verdict", "comparison", "verdict_note"]
COMPARED = ["reference", "difference", "difference_low", "difference_high", *TESTED, *VERDICT]
"""Against one method named beforehand, on the same patients (mirrorflow.evaluation.verdicts)."""
REMARKS = ["by_fold", "why_undefined", "note", "gene_labels", "tau_days", "unstable", "seeds", "seed_sd"]
SAW = "encoder_saw_evaluation_slides"
"""yes, no or unknown: whether the encoder was trained on the collection of the evaluated patients, by the audit; empty
for methods without slides. An encoder is the same beside a published value: that saw what ours did."""
FURTHER = ["patients", *REMARKS, *COMPARED, SAW]
COLUMNS = [*CELL, *ESTIMATE, *BESIDE, "predictions", *FURTHER]
COUNTS = ["patients", "gene_labels", "seeds", "seed_sd"]
NUMBERS = [*ESTIMATE, "published_mean", "published_sd", "delta", *COUNTS, *COMPARED[1:-3]]
"""The columns that hold numbers; an empty cell of theirs is NaN, of all others the empty string."""

SHOTS_HELD = re.compile(r"\bk = (\d+(?:, \d+)*) \(smallest group\)")
"""What :mod:`mirrorflow.evaluation.cells` notes of a k-shot row whose groups have fewer than k."""


def shots_held(note: str) -> list[str]:
    """Numbers of units a group that a k-shot row's folds really hold, where its note says that they are other ones."""
    found = SHOTS_HELD.search(note)
    return found[1].split(", ") if found else []


def without_single_changes(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv less the protocols of single changes, which stand in the optimism table."""
    return results[~results["protocol"].astype(str).str.startswith(SINGLE_CHANGE)]


def published_key(names: pd.DataFrame, kind: str, column: str = "published") -> dict[str, str]:
    """Path name -> published label (or ``title``) of one kind (cohort, method, ...).

    names: resources/names.tsv. It has no line for a method of config/methods.yaml, whose entry says both.
    """
    own = {name: str(getattr(method, column)) for name, method in METHODS.items()} if kind == "method" else {}
    mine = names[names["kind"] == kind]
    return own | dict(zip(mine["name"], mine[column], strict=True))


def titles_of(names: pd.DataFrame, *kinds: str) -> dict[str, dict[str, str]]:
    """Kind -> path name -> title, from resources/names.tsv."""
    return {kind: published_key(names, kind, "title") for kind in kinds}


def published_place(cohort: str, setting: str) -> tuple[str, str]:
    """Cohort and setting under which the published tables have a cell: those of adaptation name the target and
    ``adapt-from-<SOURCE>``.
    """
    adapted = ADAPTED.fullmatch(cohort)
    if adapted is None or setting != "all":
        return cohort, setting
    return adapted["target"], f"adapt-from-{adapted['source'].upper()}"


def beside_published(
    cells: pd.DataFrame,
    published: pd.DataFrame,
    names: pd.DataFrame,
    why_not: Callable[[Mapping[str, object]], list[str]],
) -> pd.DataFrame:
    """The cells with published_mean, published_sd, suspect, comparable, why_not and delta.

    ``published`` is resources/published_results.csv; MIRROR's Tables III and IV are matched, IX and X for adapted
    cohorts, and the variants of V to VIII by the labels that ``names`` gives to variants. ``why_not`` says for a
    cell what differs; ``delta`` (ours less published) is given only where nothing does.
    """
    # The variants' tables repeat the whole method: only what they change ("mirror[...]") is taken from there.
    ablated = published["table"].isin(["V", "VI", "VII", "VIII"]) & published["method"].str.contains("[", regex=False)
    whole = published["table"].isin(["III", "IV", "IX", "X"])
    tables = published[(published["paper"] == "mirror") & (whole | ablated)]
    key = ["_cohort", "_method", "encoder", "_setting", "task", "metric"]
    known = tables.rename(columns={"mean": "published_mean", "sd": "published_sd"})
    known = known.rename(columns={"cohort": "_cohort", "method": "_method", "setting": "_setting"})
    known = known[[*key, "published_mean", "published_sd", "suspect"]]
    labels = {kind: published_key(names, kind) for kind in ("cohort", "method")}
    places = [published_place(*where) for where in zip(cells["cohort"], cells["setting"], strict=True)]
    joined = cells.assign(
        _cohort=[labels["cohort"].get(cohort) or "" for cohort, _ in places],
        _method=[labels["method"].get(name) or name for name in cells["method"]],
        _setting=[setting for _, setting in places],
    )
    joined = joined.merge(known, how="left", on=key).drop(columns=["_cohort", "_method", "_setting"])
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
