"""Which of the new patients are patients of the run: by name, or by a slide whose features are the same."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mirrorflow.reuse.patients import NewPatients
from mirrorflow.store.content import describe_content


def known_patients(patients: NewPatients, cohort: pd.DataFrame, index: pd.DataFrame | None) -> dict[str, str]:
    """New patient -> the patient of the run that it is.

    index: the run's features (columns patient, content: digest of what a file holds), or None.
    """
    here = set(cohort["patient"])
    found = {name: name for name in patients.frame["patient"] if name in here}
    owners = _owners(index)
    for name, slides in zip(patients.frame["patient"], patients.frame["slide_ids"], strict=True):
        for slide in slides if owners else ():
            owner = owners.get(_digest(patients.files, slide))
            if owner is not None:
                found.setdefault(str(name), owner)
    return found


def in_other_case(patients: NewPatients, cohort: pd.DataFrame, known: Mapping[str, str]) -> dict[str, str]:
    """New patient -> why nothing is said of it: the run has its name in other case, so that it may be the same or not.

    known: those that :func:`known_patients` found: they are told by name or content.
    """
    names = set(cohort["patient"])
    theirs = {name.casefold(): name for name in names}
    return {
        name: f"the run has a patient {theirs[name.casefold()]!r}: write the same name if it is the same patient, else "
        "one that differs by more than case"
        for name in patients.frame["patient"]
        if name not in known and name not in names and name.casefold() in theirs
    }


def _owners(index: pd.DataFrame | None) -> dict[str, str]:
    """Digest of a slide's features -> its patient; none for an index of a time before it had digests."""
    if index is None or "content" not in index:
        return {}
    return {digest: patient for digest, patient in zip(index["content"], index["patient"], strict=True) if digest}


def _digest(files: Mapping[str, Path], slide: str) -> str:
    return describe_content(files[slide]).digest if slide in files else ""
