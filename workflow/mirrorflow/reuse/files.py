"""What :func:`~mirrorflow.reuse.predict.predict_patients` says, as files of a folder."""

from pathlib import Path

import pandas as pd

from mirrorflow.reuse.predict import Predicted
from mirrorflow.runtime.files import write_text
from mirrorflow.store.tables import write_sheet

ABOUT = "about.md"
TABLES = ("subtyping", "survival", "subtyping_folds", "survival_folds", "survival_curves", "horizons")


def write_predicted(made: Predicted, folder: Path) -> list[Path]:
    """Write a TSV a table, ``checks.tsv``, ``left_out.tsv``, ``genes_missing.tsv`` and, last, ``about.md``.

    Tables of an earlier call that this one lacks are removed. Returns the files.
    """
    checks = pd.DataFrame([one.row() for one in made.checks], columns=["check", "verdict", "training", "new"])
    tables = {name: made.tables.get(name) for name in TABLES}
    tables |= {"checks": checks, "left_out": made.left_out, "genes_missing": made.genes_missing}
    written = []
    for name, table in tables.items():
        path = folder / f"{name}.tsv"
        if table is None:
            path.unlink(missing_ok=True)
        else:
            write_sheet(path, table)
            written.append(path)
    write_text(folder / ABOUT, "# Predictions of new patients\n\n" + "".join(f"- {note}\n" for note in made.notes))
    return [*written, folder / ABOUT]
