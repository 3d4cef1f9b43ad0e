"""Digests of what a method saw, the same for every method of a table: features of the units, the expression matrix."""

from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.store.bags import features_fingerprint
from mirrorflow.store.expression import read_record
from mirrorflow.store.tables import read_text_sheet

FEATURES, EXPRESSION = "features_digest", "expression_digest"
"""Keys in the notes of a predictions file."""


def features_digest(units: pd.DataFrame, index: str | Path) -> str:
    """Stands for the content of the feature files of ``units`` (column slide_ids), wherever they lie.

    As that of embeddings and models (:meth:`~mirrorflow.learners.inputs.paired.PairedUnits.digests`).
    """
    table = read_text_sheet(index)
    there = table[table["status"] == "ok"] if "status" in table else table
    paths = dict(zip(there["slide_id"], there["path"], strict=True))
    slides = [slide for slide_ids in units["slide_ids"] for slide in slide_ids]
    return features_fingerprint([Path(paths[slide]) for slide in slides if slide in paths])


def expression_digest(expression: str | Path) -> str:
    """Stands for what a converted matrix was made of, its content among it. Raises InputError as ``read_record``."""
    return read_record(expression)["digest"]


def seen_by(representation: Any, fold_number: int) -> dict[str, str]:
    """Notes of what a representation's vectors of a fold were made of; empty for one that sees neither."""
    return representation.seen(fold_number) if hasattr(representation, "seen") else {}
