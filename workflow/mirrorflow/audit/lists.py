"""Gene lists that a user gives: whose labels chose them, as far as a record beside the list says."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mirrorflow.audit.evidence import Seen
from mirrorflow.audit.findings import LEAK, WARNING, Finding
from mirrorflow.audit.names import short_barcode
from mirrorflow.cohorts.splits import Fold

KEYS = {"label_patients": "subtype labels", "outcome_patients": "outcomes"}
"""Keys of the record beside a list, as beside our gene manifests -> what of these patients chose the genes."""


def record_of(path: str | Path) -> tuple[Path, Mapping[str, Any] | None]:
    """Where a list's record lies (or would), ``<list>.json``, and what it says; None without a usable one.

    A gene manifest of ours (``fold0.tsv``) has its record under ``fold0.json``.
    """
    own = Path(f"{path}.json")
    for place in (own, Path(path).with_suffix(".json")):
        try:
            record = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and isinstance(record.get("label_patients"), list):
            return place, record
    return own, None


def audit_list(path: str | Path, folds: Sequence[Fold]) -> tuple[list[Finding], list[Seen]]:
    """A list that evaluation patients' labels or outcomes chose, by its record, is a leak; without one, a warning.

    Patients are compared as TCGA barcodes cut to the patient, or by their names as they are.
    """
    place, record = record_of(path)
    name = f"gene list {Path(path).name}"
    if record is None:
        text = (
            f"{name} was given by the user, and nothing says whose labels chose it: the origin is unknown. One that "
            f"was chosen with labels of this cohort leaks. Write {place.name} beside it: "
            '{"label_patients": [...]}, an empty list where no patient\'s label chose it'
        )
        seen = Seen(name, -1, -1, -1, "origin unknown: given by the user without a record")
        return [Finding(WARNING, "gene_list_origin", text)], [seen]
    recorded = {key: {short_barcode(str(name)) for name in record.get(key) or ()} for key in KEYS}
    findings = [*_strange(name, place.name, set().union(*recorded.values()), folds)]
    lines: list[Seen] = []
    for number, fold in enumerate(folds):
        for key, what in KEYS.items():
            patients = recorded[key]
            evaluated = {name for name in fold.val if short_barcode(name) in patients}
            if patients or key == "label_patients":
                lines.append(Seen(f"{name}: {what}", number, len(patients), len(evaluated), f"by {place.name}"))
            findings += _leak(name, what, number, patients, evaluated)
    return findings, lines


def _strange(name: str, record: str, patients: set[str], folds: Sequence[Fold]) -> Iterator[Finding]:
    """Recorded patients whom no fold names: of another cohort, or of this one under names that are not seen to be."""
    named = {short_barcode(name) for fold in folds for part in (*fold.parts.values(), fold.unused) for name in part}
    if strange := sorted(patients - named):
        text = (
            f"{len(strange)} of {len(patients)} patients whose labels or outcomes chose {name} are in no fold (e.g. "
            f"{strange[0]}): of another cohort, or written otherwise. Where they are patients of this one, give "
            f"{record} their names here; a leak is not seen before"
        )
        yield Finding(WARNING, "gene_list_origin", text, None, len(strange), tuple(strange[:5]))


def _leak(name: str, what: str, number: int, patients: set[str], evaluated: set[str]) -> Iterator[Finding]:
    if evaluated:
        text = (
            f"{name} was chosen with the {what} of {len(patients)} patients, {len(evaluated)} evaluation patients "
            "among them, by its record; let `expression.selection` choose them fold by fold, or give another list"
        )
        yield Finding(LEAK, "gene_list_labels", text, number, len(evaluated), tuple(sorted(evaluated)[:5]))
