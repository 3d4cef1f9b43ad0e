"""The table of what the dead of unknown cause could change of a cause-specific outcome."""

from collections.abc import Mapping

import pandas as pd

from mirrorflow.evaluation.cause_bounds import ALL, ANY, KINDS, NONE, REPORTED
from mirrorflow.tables.main import value_text
from mirrorflow.tables.results import told_apart

NAMED = ["protocol", "cohort", "encoder", "method"]
COUNTS = ["n", "events", "unknown"]
COLUMNS = [*NAMED, *COUNTS, *(f"{kind}{part}" for kind in KINDS for part in ("", "_sd", "_by_fold"))]
HEADER = {
    REPORTED: "C-index as reported",
    NONE: "none an event",
    ALL: "all events",
    ANY: "death of any cause",
}
CAPTION = (
    "What the dead of unknown cause could change of a cause-specific outcome. They are trained on and reported on "
    "nowhere; here the models of the fold that evaluates them (or, where published folds leave them out, of one that "
    "evaluates their site, else of a fold in turn) predict them, too. As reported: without them, as in results.csv. "
    "None, all: with them at their time of death, none of them an event (censored, as deaths of other causes are), or "
    "all. The C-index is no monotone function of who is an event: a mixture of both may lie outside of the two. Death "
    "of any cause: the same risks against overall survival of the same patients. All training data; mean ± standard "
    "deviation over folds (ddof 1), seeds averaged. Units: patients, or slides, as the "
    "protocol evaluates them. Who is alive and has no outcome stays left out."
)


def shown(table: pd.DataFrame, titles: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """For a reader: a row a method, counts, and a column a kind of the C-index."""
    titles = {**titles, "cohort": told_apart(titles.get("cohort", {}), map(str, table["cohort"]))}
    named = {name.capitalize(): [titles.get(name, {}).get(one, one) for one in table[name]] for name in NAMED}
    counts = {"Units": table["n"], "Events": table["events"], "Dead, cause unknown": table["unknown"]}
    wide = pd.DataFrame(named | counts)
    for kind, title in HEADER.items():
        wide[title] = [value_text(mean, sd) for mean, sd in zip(table[kind], table[f"{kind}_sd"], strict=True)]
    return wide
