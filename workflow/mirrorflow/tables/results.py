"""The long table: one row a cell, ours beside the published value."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from mirrorflow.config.adaptation import ADAPTED
from mirrorflow.config.methods import METHODS
from mirrorflow.config.protocols import SINGLE_CHANGE

CELL = ["protocol", "cohort", "encoder", "setting", "task", "method", "metric"]
"""What names a cell."""
ESTIMATE = ["mean", "sd", "ci_low", "ci_high", "n", "folds"]
BESIDE = ["published_mean", "published_sd", "suspect", "delta", "comparable", "why_not", "published_ddof"]
PUBLISHED = ["published_mean", "published_sd", "suspect", "published_ddof"]
"""What a cell has of a published one: its value, its deviation over folds and that one's ddof, why it is in doubt."""
TESTED = ["p_value", "p_t_test", "p_holm", "detectable", "detectable_holm"]
"""p of the paired bootstrap and of the corrected t-test, the larger one adjusted; what 80 % of studies would find."""
VERDICT = ["verdict", "comparison", "verdict_note"]
COMPARED = ["reference", "difference", "difference_low", "difference_high", *TESTED, *VERDICT]
"""Against one method named beforehand, on the same patients (mirrorflow.evaluation.verdicts)."""
WHOSE = ["train_patients", "patient_set"]
"""Patients trained on, by fold; what stands for those evaluated in each fold (another one: other patients)."""
REMARKS = [*WHOSE, "by_fold", "why_undefined", "note", "gene_labels", "tau_days", "unstable", "seeds", "seed_sd"]
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


def told_apart(titles: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The title of each name, or the name itself; with the name behind it where several have one title."""
    mine = {name: titles.get(name, name) for name in names}
    count = Counter(mine.values())
    return {name: title if count[title] == 1 else f"{title} ({name})" for name, title in mine.items()}


WHOLE = {"mirror": ("III", "IV", "IX", "X"), "tta": ("1", "8")}
"""By paper, the tables whose every row is matched."""
VARIED = {"mirror": ("V", "VI", "VII", "VIII"), "tta": ("2", "3", "4", "6", "7", "9")}
"""Tables that repeat the whole method: only the rows of what they change (``mirror[...]``) are matched."""


def published_cells(published: pd.DataFrame) -> pd.DataFrame:
    """The rows of resources/published_results.csv that cells of results.csv may stand beside, one a place."""
    changed, wanted = published["method"].str.contains("[", regex=False), pd.Series(data=False, index=published.index)
    for paper, whole in WHOLE.items():
        there = published["table"].isin(whole) | (published["table"].isin(VARIED[paper]) & changed)
        wanted |= (published["paper"] == paper) & there
    return as_beside(published[wanted])


def as_beside(published: pd.DataFrame) -> pd.DataFrame:
    """Rows of resources/published_results.csv with the columns PUBLISHED instead of mean, sd and ddof."""
    return published.rename(columns={"mean": "published_mean", "sd": "published_sd", "ddof": "published_ddof"})


def published_metric(metric: str, *, disease_specific: bool) -> str:
    """What the published tables call a metric: that of disease-specific survival is no C-index of any other."""
    return f"{metric}_dss" if disease_specific else metric


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
    dss: Collection[str] = (),
) -> pd.DataFrame:
    """The cells with the columns BESIDE.

    ``published`` is resources/published_results.csv, matched by the labels that ``names`` gives to cohorts and
    variants (:func:`published_cells`). TTA's tables are of disease-specific survival: cohorts of ``dss`` stand beside
    these alone, all others beside MIRROR's. ``why_not`` says for a cell what differs; ``delta`` (ours less published)
    is given only where nothing does.
    """
    place = {"cohort": "_cohort", "method": "_method", "setting": "_setting", "metric": "_metric"}
    key = [*place.values(), "encoder", "task"]
    known = published_cells(published).rename(columns=place)[[*key, *PUBLISHED]]
    labels = {kind: published_key(names, kind) for kind in ("cohort", "method")}
    places = [published_place(*where) for where in zip(cells["cohort"], cells["setting"], strict=True)]
    joined = cells.assign(
        _cohort=[labels["cohort"].get(cohort) or "" for cohort, _ in places],
        _method=[labels["method"].get(name) or name for name in cells["method"]],
        _setting=[setting for _, setting in places],
        _metric=[
            published_metric(metric, disease_specific=cohort in dss)
            for cohort, metric in zip(cells["cohort"], cells["metric"], strict=True)
        ],
    )
    joined = joined.merge(known, how="left", on=key).drop(columns=list(place.values()))
    reasons = [why_not({str(key): value for key, value in row.items()}) for row in joined.to_dict("records")]
    there = joined["published_mean"].notna().to_numpy()
    comparable = np.array([not reason for reason in reasons]) & there
    joined = joined.assign(**{name: "" for name in WHOSE if name not in joined})
    joined["comparable"] = np.where(comparable, "yes", "no")
    joined["why_not"] = [
        "; ".join(reason) if found else "; ".join(["no published value", *reason])
        for reason, found in zip(reasons, there, strict=True)
    ]
    joined["delta"] = np.where(comparable, joined["mean"] - joined["published_mean"], np.nan)
    joined = joined.fillna({"suspect": "", "published_ddof": ""})
    return joined[COLUMNS]
