"""What the event rate of a patient's site alone ranks, on MIRROR's published folds of real patients.

    python benchmarks/site.py [--cohorts coadread nsclc brca] [--permutations 60] [--pseudo-patients 10]

../shared/tcga, overall and disease-specific survival; sites by the codes of the barcodes and by institution. Rates are
those of the method `site`, learned on a fold's training patients; the C-index is the mean over folds. Beside it stands
the largest one of permutations that deal the patients' sites out anew. A table first, then name=value lines.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from mirrorflow.audit.sites import ranking_by_site
from mirrorflow.cohorts.patients import barcode_sites, has_outcome
from mirrorflow.store.tables import read_folds, read_institutions, read_text_sheet
from mirrorflow.units import DAYS_PER_MONTH

SHARED = Path(__file__).parents[1].parent / "shared" / "tcga"


def patients_of(cohort: str, outcome: str) -> pd.DataFrame:
    """Patients with a known outcome: patient, time_days, event, and sites as code and as institution."""
    sheet = read_text_sheet(SHARED / cohort / "clinical.tsv")
    numbers = {name: pd.to_numeric(sheet[f"{outcome}_{name}"], errors="coerce") for name in ("months", "event")}
    codes, names = barcode_sites(sheet["case_id"]), read_institutions("tcga")
    frame = pd.DataFrame(
        {
            "patient": sheet["case_id"],
            "time_days": numbers["months"] * DAYS_PER_MONTH,
            "event": numbers["event"],
            "code": codes,
            "institution": codes.map(lambda code: names.get(code, code)),
        }
    )
    return frame[has_outcome(frame)].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", nargs="+", default=["coadread", "nsclc", "brca"])
    parser.add_argument("--permutations", type=int, default=60)
    parser.add_argument("--pseudo-patients", type=float, default=10.0)
    options = parser.parse_args()
    started, rows = time.process_time(), []
    for cohort in options.cohorts:
        folds = read_folds(SHARED / cohort / "splits", 5)
        for outcome in ("os", "dss"):
            frame = patients_of(cohort, outcome)
            for kind in ("code", "institution"):
                found = ranking_by_site(
                    frame.assign(site=frame[kind]), folds, options.pseudo_patients, options.permutations
                )
                where = {"cohort": cohort, "outcome": outcome, "by": kind, "patients": len(frame)}
                counts = {"sites": frame[kind].nunique(), "events": int(frame["event"].sum())}
                rows.append(where | counts | {"c_index": found.value, "largest": found.largest, "p": found.p})
    table = pd.DataFrame(rows)
    print(table.round({"c_index": 3, "largest": 3, "p": 3}).to_string(index=False))
    for row in rows:
        name = f"{row['cohort']}_{row['outcome']}_by_{row['by']}"
        print(f"{name}={row['c_index']:.4f}")
        print(f"{name}_largest_of_{options.permutations}={row['largest']:.4f}")
    print(f"cpu_seconds={time.process_time() - started:.1f}")


if __name__ == "__main__":
    main()
