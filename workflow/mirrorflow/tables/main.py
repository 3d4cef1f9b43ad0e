"""The tables a reader opens first: methods down, cohorts and settings across (MIRROR's Tables III and IV)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mirrorflow.config.adaptation import is_adapted
from mirrorflow.tables.results import SAW, shots_held, told_apart

TITLES = {"accuracy": "Accuracy", "f1_macro": "Macro F1", "c_index": "C-index"}
KEY = ["protocol", "encoder", "method"]
MAIN_METRICS = {"subtyping": ("accuracy", "f1_macro"), "survival": ("c_index",)}
ABSENT_CLASSES = (
    "mean over the fixed list of classes; one that a fold lacks counts as 0 where it is predicted, and is left out "
    "where it is not"
)
"""The rule of macro F1 (:func:`mirrorflow.metrics.subtyping.f1_macro`), for readers of a table."""


def main_table(results: pd.DataFrame, task: str, methods: Sequence[str], titles: Mapping[str, str]) -> pd.DataFrame:
    """Wide table of ``task``: rows protocol, encoder, method; a column per cohort, setting and metric.

    A cell reads ``mean +- sd [low, high]``, followed by the published value where there is one. ``titles`` maps
    cohorts to their labels. Methods without slides stand once per protocol, with encoder ``none``. Adapted cohorts
    stand in tables of their own.
    """
    return wide_table(shown_rows(results, task), methods, titles)


def shown_rows(results: pd.DataFrame, task: str) -> pd.DataFrame:
    """The cells of results.csv that the main table of ``task`` shows."""
    rows = results[(results["task"] == task) & results["metric"].isin(MAIN_METRICS[task])]
    return rows[~rows["cohort"].astype(str).map(is_adapted).astype(bool)]


def encoders_that_saw(results: pd.DataFrame, task: str) -> str:
    """A sentence for a table's caption: encoders trained on the collection that is evaluated; empty without any."""
    rows = results[(results["task"] == task) & results["metric"].isin(MAIN_METRICS[task]) & (results[SAW] == "yes")]
    if rows.empty:
        return ""
    published = ", the published columns as well" if rows["published_mean"].notna().any() else ""
    names = ", ".join(sorted(set(rows["encoder"].astype(str))))
    return f"Trained on the collection that is evaluated, and so perhaps on these slides{published}: encoder {names}. "


def wide_table(rows: pd.DataFrame, methods: Sequence[str], titles: Mapping[str, str]) -> pd.DataFrame:
    """Cells of results.csv, methods down, a column per cohort, setting and metric; empty where there is no cell.

    Cohorts of one title have their names behind it.
    """
    if rows.empty:
        return pd.DataFrame(columns=KEY)
    rows = rows.copy()
    settings, titles = _settings_shown(rows), told_apart(titles, map(str, rows["cohort"]))
    rows["column"] = [
        f"{titles[cohort]}, {settings[cohort, setting]}, {TITLES[metric]}"
        for cohort, setting, metric in zip(rows["cohort"], rows["setting"], rows["metric"], strict=True)
    ]
    said = patients_texts(rows)
    rows["cell"] = [
        cell_text({str(key): value for key, value in row.items()}) + text
        for row, text in zip(rows.to_dict("records"), said, strict=True)
    ]
    columns = list(dict.fromkeys(rows["column"]))
    wide = rows.set_index([*KEY, "column"])["cell"].unstack(fill_value="")[columns]  # noqa: PD010
    return wide.reset_index().sort_values(KEY, key=lambda column: _order(column, methods), ignore_index=True)


COLUMN = ["protocol", "cohort", "setting", "task"]
"""Cells that a reader compares at a glance."""


def patients_texts(rows: pd.DataFrame) -> list[str]:
    """``, n = 17 (trained on 33 to 34)`` for each row where rows of a column are of different patients, else empty."""
    if not {"patient_set", "patients", "train_patients", *COLUMN} <= set(rows):
        return [""] * len(rows)
    sets = rows.groupby(COLUMN)["patient_set"].transform("nunique")
    evaluated, trained = rows["patients"].tolist(), rows["train_patients"].astype(str).tolist()
    return [
        f", n = {int(patients)}{_trained_text(by_fold)}" if several > 1 else ""
        for patients, by_fold, several in zip(evaluated, trained, sets, strict=True)
    ]


def _trained_text(by_fold: str) -> str:
    counts = sorted({int(count) for count in by_fold.split() if count.isdigit()})
    return f" (trained on {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))})" if counts else ""


def patients_note(rows: pd.DataFrame) -> str:
    """A sentence for a table's caption where methods of a column are of different patients; else empty."""
    if not any(patients_texts(rows)):
        return ""
    return (
        "n: patients evaluated, and trained on by fold, where methods of a column do not have the same "
        "(train_on: available); only verdicts compare such rows, on the patients that both have. "
    )


def _settings_shown(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Cohort and setting -> how a column calls the setting: ``3-shot (k = 1 or 2)`` where folds hold no more."""
    shown = {}
    for (cohort, setting), part in rows.groupby(["cohort", "setting"]):
        asked = str(setting).removesuffix("-shot")
        held = (
            {k for note in part.get("note", [""]) for k in shots_held(str(note)) or [asked]}
            if asked != setting
            else {asked}
        )
        less = "" if held == {asked} else f" (k = {' or '.join(sorted(held, key=int))})"
        shown[str(cohort), str(setting)] = f"{setting}{less}"
    return shown


def _order(column: pd.Series, methods: Sequence[str]) -> pd.Series:
    if column.name == "method":
        return column.map({name: number for number, name in enumerate(methods)})
    if column.name == "encoder":
        return column.map(lambda name: "" if name == "none" else name)
    return column


def cell_text(row: Mapping[str, object]) -> str:
    """``0.912 ± 0.031 [0.871, 0.943], better (published 0.933 ± 0.012)``, as far as there is a verdict and a value."""
    text = value_text(row["mean"], row["sd"])
    if not np.isnan(_number(row["ci_low"])):
        text += f" [{_number(row['ci_low']):.3f}, {_number(row['ci_high']):.3f}]"
    if row.get("verdict"):
        text += f", {'primary: ' if row.get('comparison') == 'primary' else ''}{row['verdict']}"
    if not np.isnan(_number(row["published_mean"])):
        ddof = ", ddof 0" if row.get("published_ddof") == "0" else ""
        doubt = ", suspect" if row["suspect"] else ""
        text += f" (published {value_text(row['published_mean'], row['published_sd'])}{ddof}{doubt})"
    return text


def value_text(mean: object, sd: object) -> str:
    """``0.912 ± 0.031``; an undefined mean reads ``undefined``, a missing deviation is left out."""
    if np.isnan(_number(mean)):
        return "undefined"
    return f"{_number(mean):.3f}" + ("" if np.isnan(_number(sd)) else f" ± {_number(sd):.3f}")


def _number(value: object) -> float:
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]
