"""Sites that a sheet names: held against those in TCGA's barcodes (a spreadsheet makes 5 of 05), written one way."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from mirrorflow.cohorts.patients import barcode_sites
from mirrorflow.config.names_in_case import differ_in_case

CODE = r"[A-Za-z0-9]{1,2}"
"""What may be meant as a code; longer values are names of the sheet's own."""
SHOWN = 3


def differing_codes(frame: pd.DataFrame) -> str:
    """What a sheet's sites and the barcodes say otherwise, in words; nothing where they agree.

    frame: patient and site. Patients with other names than barcodes, and sites that are no codes, are not compared.
    """
    own = barcode_sites(frame["patient"])
    written = frame["site"].astype(str)
    other = (own != "") & (written != "") & written.str.fullmatch(CODE) & (written != own)
    if not other.any():
        return ""
    pairs = sorted(Counter(zip(written[other], own[other], strict=True)).items())
    told = [f"{sheet!r} for {barcode!r} ({count} patients)" for (sheet, barcode), count in pairs[:SHOWN]]
    more = ", ..." if len(pairs) > SHOWN else ""
    zeros = all(sheet.zfill(2) == barcode for (sheet, barcode), _ in pairs)
    why = "a spreadsheet takes leading zeros away; " if zeros else ""
    return (
        f"sites of {int(other.sum())} patients are not their barcodes': {', '.join(told)}{more}; "
        f"{why}take `site: barcode`, or correct the column"
    )


def unnamed_codes(sites: pd.Series, institutions: Mapping[str, str]) -> str:
    """Sites that a table of institutions would name if it had their leading zeros, in words; nothing where none is."""
    short = {code for code in institutions if len(code) == 1}
    lost = sorted({site for site in set(sites) - set(institutions) if site.startswith("0") and site[1:] in short})
    if not lost:
        return ""
    return (
        f"the table of institutions lacks {', '.join(lost)} and has {', '.join(site[1:] for site in lost)}: a "
        "spreadsheet takes leading zeros away; write them as text"
    )


def sites_in_two_cases(sites: pd.Series, institutions: Mapping[str, str]) -> list[str]:
    """Sites that differ in case only, in words, a line each: one hospital, which folds would put on both sides.

    They are looked at as the sheet has them, where the table of institutions does not name all of a kind, and with
    the institutions' names in their place.
    """
    codes = sorted(set(sites))
    unnamed = {code.casefold() for code in codes if code not in institutions}
    written = [code for code in codes if code.casefold() in unnamed]
    named = sorted({institutions.get(code, code) for code in codes})
    return list(dict.fromkeys([*differ_in_case(written, "site"), *differ_in_case(named, "site")]))
