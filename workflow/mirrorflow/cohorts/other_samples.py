"""Patients of whom a table of samples knows no primary tumour: who is left aside is told from who is not there."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

SAMPLE = re.compile(r"(?P<patient>[A-Z0-9]{4}-[A-Z0-9]{2}-[A-Z0-9]{4})-(?P<type>\d{2})")
PRIMARY_TUMOUR = "01"
TYPES = {
    "02": "recurrent tumour",
    "03": "primary blood cancer",
    "05": "additional primary tumour",
    "06": "metastasis",
    "07": "additional metastasis",
    "10": "blood, normal",
    "11": "normal tissue",
}
"""What TCGA's codes of sample types say (GDC's code tables)."""


def without_primary(samples: Sequence[str] | pd.Series) -> dict[str, str]:
    """Patient -> the types of its samples, in words, of those who have samples and no primary tumour (01).

    samples: TCGA barcodes of samples; bare patients and other names are left out.
    """
    types: dict[str, set[str]] = {}
    for found in filter(None, map(SAMPLE.match, samples)):
        types.setdefault(found["patient"], set()).add(found["type"])
    alone = {patient: sorted(codes) for patient, codes in types.items() if PRIMARY_TUMOUR not in codes}
    return {patient: ", ".join(map(_named, codes)) for patient, codes in alone.items()}


def not_listed(types: str | None) -> str:
    """Why a slide's patient is in no clinical table: ``types`` of the samples there are (None: none at all)."""
    if types is None:
        return "slide of a patient who is not in the sheet"
    return f"slide of a patient whose samples are {types} alone: primary tumours (01) are taken"


def counted_types(dropped: Mapping[str, int]) -> str:
    """Counts by code of sample type, in words; empty without any. Names that are no barcodes have no code."""
    return ", ".join(f"{code} ({TYPES.get(code, 'other')}) {n}" for code, n in dropped.items() if code.isdigit())


def _named(code: str) -> str:
    return f"{code} ({TYPES[code]})" if code in TYPES else code
