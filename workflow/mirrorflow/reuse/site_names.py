"""Names of the run's sites for codes in a new patients' sheet, where the run took them from a table of institutions."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from mirrorflow.cohorts.patients import barcode_sites


def institutions_of(cohort: pd.DataFrame) -> dict[str, str]:
    """Code in TCGA's barcodes -> the cohort's name of that site, where it has another one, and one alone.

    cohort: patient and site. Empty where sites are the codes themselves, or patients have other names.
    """
    own = barcode_sites(cohort["patient"])
    known = pd.DataFrame({"code": own, "site": cohort["site"].fillna("").astype(str)})
    known = known[(known["code"] != "") & (known["site"] != "")].drop_duplicates()
    alone = known[~known["code"].duplicated(keep=False)]
    return {code: site for code, site in zip(alone["code"], alone["site"], strict=True) if code != site}


def named_as_in_run(sites: pd.Series, cohort: pd.DataFrame, codes: Mapping[str, str] = {}) -> tuple[pd.Series, str]:
    """Sites of new patients with the run's names for codes, and what was named so, in words; empty where none was.

    codes: what the run's table of institutions has; where it is not known, barcodes of TCGA tell. A site that the run
    has under this very name stays.
    """
    table, theirs = {**institutions_of(cohort), **codes}, set(cohort["site"].fillna(""))
    written = sites.fillna("").astype(str).str.strip()
    told = written.isin(set(table) - theirs)
    counts = Counter(zip(written[told], written[told].map(table), strict=True))
    said = ", ".join(f"{code} is {name} ({count})" for (code, name), count in sorted(counts.items()))
    return written.where(~told, written.map(table)), said and f"Sites are named as the run's institutions: {said}."
