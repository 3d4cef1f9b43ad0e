"""Encoders that were trained on the collection that is evaluated: they may have seen the very slides."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mirrorflow.audit.findings import WARNING, Finding
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.saw import COLLECTIONS, UNKNOWN

KIND = "encoder_saw_evaluation_slides"
YES, NO = "yes", "no"
NAMES = {
    "tcga": re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}"),
    "cptac": re.compile(r"C3[LN]-\d{5}"),
    "gtex": re.compile(r"GTEX-[A-Z0-9]+"),
}
"""What the names of a collection's patients look like."""


def of_collections(folds: Sequence[Fold], collection: str) -> dict[str, list[str]]:
    """Collection -> evaluated patients that are of it.

    collection: what the config says of the cohort (``none``: its own patients); empty: by the patients' names.
    """
    patients = sorted({name for fold in folds for name in fold.evaluated})
    if collection:
        return {collection: patients} if collection in COLLECTIONS and patients else {}
    found = {name: [one for one in patients if pattern.match(one)] for name, pattern in NAMES.items()}
    return {name: members for name, members in found.items() if members}


def audit_encoders(
    encoders: Mapping[str, Mapping[str, Any]], folds: Sequence[Fold], collection: str = ""
) -> tuple[list[Finding], dict[str, str]]:
    """A warning for each encoder that was trained on a collection of which patients are evaluated, and of every encoder
    whether it saw them: yes, no or unknown.

    encoders: name -> what (collections, ``no`` or ``unknown``) and source; collection: as :func:`of_collections` has
    it. Patients of no public collection are in none that an encoder was trained on: no.
    """
    patients = of_collections(folds, collection)
    evaluated = len({name for fold in folds for name in fold.evaluated})
    findings = [
        _finding(name, one, said["source"], patients[one], evaluated)
        for name, said in encoders.items()
        for one in said["what"]
        if one in patients
    ]
    return findings, {name: _verdict(said["what"], patients) for name, said in encoders.items()}


def _finding(encoder: str, collection: str, source: str, members: Sequence[str], evaluated: int) -> Finding:
    text = (
        f"encoder {encoder} was trained on {collection.upper()} ({source}), of which {len(members)} of {evaluated} "
        "evaluated patients are: it may have seen their slides, and may do worse on others"
    )
    return Finding(WARNING, KIND, text, None, len(members), tuple(members[:5]))


def _verdict(what: Sequence[str], patients: Mapping[str, Sequence[str]]) -> str:
    if set(what) & set(patients):
        return YES
    return UNKNOWN if patients and UNKNOWN in what else NO


def unknown_line(found: Mapping[str, str]) -> str:
    """A sentence on encoders of which nobody says what they were trained on; empty where there are none."""
    names = [name for name, verdict in found.items() if verdict == UNKNOWN]
    if not names:
        return ""
    return f"What {', '.join(names)} was trained on is not known here (`features.saw` says it)."
