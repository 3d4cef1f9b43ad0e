"""``mirrorflow audit``: anyone's split files, and anyone's predictions in our layout; no config needed."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mirrorflow import audit, audit_rows
from mirrorflow.audit import Finding
from mirrorflow.cohort import barcode_sites, institution_names
from mirrorflow.errors import InputError
from mirrorflow.splits import Fold, repair_folds
from mirrorflow.store.predictions import read_rows
from mirrorflow.store.tables import read_fold, read_text_sheet, write_fold


@dataclass(frozen=True)
class Given:
    """What the user has: folders of split files and predictions, sheets of patients and institutions."""

    splits: Path | None = None
    predictions: Path | None = None
    patients: Path | None = None
    """patient; site and label as far as known."""
    institutions: Path | None = None
    """site, institution."""


def audit_files(given: Given, repair: Path | None = None) -> int:
    """Print the findings; returns 1 when one is a leak. ``repair``: folder for mended copies of the split files.

    Raises InputError where a folder holds nothing to audit, or there is nothing to repair from.
    """
    if given.splits is None and given.predictions is None:
        message = "nothing to audit: give --splits FOLDER, --predictions FOLDER or both"
        raise InputError(message)
    folds = _folds(given.splits) if given.splits else []
    sheet = _patients_sheet(given.patients)
    findings = _split_findings(folds, sheet, given.institutions) if folds else []
    counted = [f"{len(folds)} folds"] if folds else []
    if given.predictions:
        paths = _prediction_files(given.predictions)
        findings += _prediction_findings(given.predictions, paths, folds, _column(sheet, "label"))
        counted.append(f"{len(paths)} predictions files")
    for finding in findings:
        examples = f" ({', '.join(finding.examples)})" if finding.examples else ""
        where = "all folds" if finding.fold is None else f"fold {finding.fold}"
        sys.stdout.write(f"{finding.level}: {where}: {finding.text}{examples}\n")
    found = len(audit.leaks(findings))
    sys.stdout.write(f"{', '.join(counted)}: {found} leaks, {len(findings) - found} warnings\n")
    _offer_repair(folds, repair)
    return int(found > 0)


def _folds(folder: Path) -> list[Fold]:
    paths = sorted(folder.glob("splits_*.csv"), key=lambda path: (len(path.name), path.name))
    if not paths:
        message = f"{folder}: no splits_<k>.csv (columns train, val) in it"
        raise InputError(message)
    return [read_fold(path) for path in paths]


def _patients_sheet(path: Path | None) -> pd.DataFrame:
    sheet = read_text_sheet(path) if path else pd.DataFrame({"patient": []})
    if "patient" not in sheet:
        message = f"{path}: no column `patient`; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    return sheet


def _column(sheet: pd.DataFrame, name: str) -> dict[str, str]:
    """Values of a column by patient; empty where the sheet has none."""
    return dict(zip(sheet["patient"], sheet[name], strict=True)) if name in sheet else {}


def _split_findings(folds: Sequence[Fold], sheet: pd.DataFrame, institutions: Path | None) -> list[Finding]:
    sites = _column(sheet, "site") or _barcode_sites(folds)
    if institutions:
        named = institution_names(read_text_sheet(institutions), str(institutions))
        sites = {patient: named.get(site, site) for patient, site in sites.items()}
    return audit.audit_splits(folds, sites, _column(sheet, "label"))


def _barcode_sites(folds: Sequence[Fold]) -> dict[str, str]:
    """Tissue source sites of the patients whose names are TCGA barcodes."""
    names = pd.Series(sorted({patient for fold in folds for patient in (*fold.train, *fold.val)}), dtype=object)
    return {name: site for name, site in zip(names, barcode_sites(names), strict=True) if site}


def _offer_repair(folds: Sequence[Fold], repair: Path | None) -> None:
    mended = repair_folds(folds)
    broken = [number for number, (old, new) in enumerate(zip(folds, mended, strict=True)) if _differ(old, new)]
    if repair is None:
        if broken and audit.leaks(audit.audit_splits(folds, {}, {})):
            sys.stdout.write("split files that keep every patient once: mirrorflow audit --splits ... --repair OUT\n")
        return
    if not folds:
        message = "--repair mends split files: give --splits FOLDER as well"
        raise InputError(message)
    for number, fold in enumerate(mended):
        write_fold(repair / f"splits_{number}.csv", fold)
    said = f"{len(mended)} split files, {len(broken)} of them changed, every patient once in each"
    sys.stdout.write(f"{repair}: {said}\n")


def _differ(one: Fold, other: Fold) -> bool:
    return sorted(one.train) != sorted(other.train) or sorted(one.val) != sorted(other.val)


# Predictions.


def _prediction_files(folder: Path) -> list[Path]:
    paths = sorted(folder.rglob("fold*.parquet"), key=lambda path: (path.parent, len(path.name), path.name))
    if not paths:
        message = f"{folder}: no fold<k>.parquet below it"
        raise InputError(message)
    return paths


def _prediction_findings(
    folder: Path, paths: Sequence[Path], folds: Sequence[Fold], labels: Mapping[str, str]
) -> list[Finding]:
    """Findings of each method's files, said with where they lie."""
    findings: list[Finding] = []
    by_method: dict[Path, list[pd.DataFrame]] = {}
    for path in paths:
        by_method.setdefault(path.parent, []).append(read_rows(path))
    for place, files in by_method.items():
        name = place.relative_to(folder).as_posix()
        for rows in files:
            findings += _named(name, audit_rows.audit_rows(rows))
            number = int(rows["fold"].iloc[0])
            if number < len(folds):
                findings += _named(name, audit_rows.audit_patients(rows, number, folds[number], labels))
        findings += _named(name, audit_rows.audit_evaluated_twice(pd.concat(files)))
    return findings + list(_unequal(folder, by_method))


def _named(name: str, findings: Iterator[Finding]) -> list[Finding]:
    prefix = "" if name == "." else f"{name}: "
    return [Finding(f.level, f.kind, prefix + f.text, f.fold, f.count, f.examples) for f in findings]


def _unequal(folder: Path, by_method: dict[Path, list[pd.DataFrame]]) -> Iterator[Finding]:
    """Methods of a protocol, cohort and task that were evaluated on other units than their neighbours."""
    tables: dict[tuple[str, ...], dict[str, frozenset[tuple[str, str]]]] = {}
    for place, files in by_method.items():
        parts = place.relative_to(folder).parts
        rows = pd.concat(files)
        units = frozenset(zip(rows["patient"], rows["slide_id"], strict=True))
        tables.setdefault((*parts[:2], *parts[-1:]), {})[place.relative_to(folder).as_posix()] = units
    for table, methods in tables.items():
        if len(set(methods.values())) > 1:
            sizes = ", ".join(f"{name} {len(units)}" for name, units in sorted(methods.items()))
            text = f"{'/'.join(table)}: methods were evaluated on different units: {sizes}"
            yield Finding(audit.WARNING, "unequal_evaluation", text, None, len(methods))
