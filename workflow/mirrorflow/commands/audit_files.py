"""``mirrorflow audit``: anyone's split files, and anyone's predictions in our layout; no config needed."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mirrorflow.audit import findings as audit
from mirrorflow.audit import predictions as audit_rows
from mirrorflow.audit.findings import Finding
from mirrorflow.audit.names import Names, patients_of_slides, to_names
from mirrorflow.audit.origins import Origins
from mirrorflow.cohorts.patients import barcode_sites
from mirrorflow.cohorts.splits import Fold, repair_folds
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError
from mirrorflow.store.method_predictions import EDITED, FIX, read_manifest
from mirrorflow.store.predictions import content_digest, read_rows, stored_notes
from mirrorflow.store.tables import read_anyones_fold, read_institutions, read_text_sheet, write_fold

SPLIT_FILE = re.compile(r"(?:splits?|folds?)[_-]?(\d+)\.csv")
"""splits_0.csv, fold1.csv, ...: CLAM's splits_0_bool.csv and splits_0_descriptor.csv are none."""


@dataclass(frozen=True)
class AuditRequest:
    """What the user has: folders of split files and predictions, sheets of patients, institutions and slides."""

    splits: Path | None = None
    predictions: Path | None = None
    patients: Path | None = None
    """patient; site and label as far as known."""
    institutions: Path | None = None
    """site, institution; or the word ``tcga``."""
    slides: Path | None = None
    """slide_id, patient: for split files that list slides."""


@dataclass(frozen=True)
class SplitFiles:
    """Split files by the number in their names: as they are written, and in patients."""

    written: Mapping[int, Fold]
    folds: Mapping[int, Fold]


def audit_files(given: AuditRequest, repair: Path | None = None) -> int:
    """Print the findings; returns 1 when one is a leak. ``repair``: folder for fixed copies of the split files.

    Raises InputError where a folder holds nothing to audit, or there is nothing to repair from.
    """
    if given.splits is None and given.predictions is None:
        message = "nothing to audit: give --splits FOLDER, --predictions FOLDER or both"
        raise InputError(message)
    names = Names(patients_of_slides(given.slides))
    files = _split_files(given.splits, names) if given.splits else SplitFiles({}, {})
    sheet = _patients_sheet(given.patients, names)
    findings = _split_findings(files.folds, sheet, given.institutions) if files.folds else []
    counted = [f"{len(files.folds)} folds"] if files.folds else []
    if given.predictions:
        paths = _prediction_files(given.predictions)
        findings += _prediction_findings(given.predictions, paths, files.folds, sheet, names)
        findings += [*_edited(given.predictions, paths), *_mixed(given.predictions, paths)]
        counted.append(f"{len(paths)} predictions files")
    if any(fold.test for fold in files.folds.values()):
        sys.stdout.write("the column test is taken for what is evaluated, val for what epochs are chosen on\n")
    for line in names.lines():
        sys.stdout.write(f"{line}\n")
    for finding in findings:
        examples = f" ({', '.join(finding.examples)})" if finding.examples else ""
        where = "all folds" if finding.fold is None else f"fold {finding.fold}"
        sys.stdout.write(f"{finding.level}: {where}: {finding.text}{examples}\n")
    found = len(audit.leaks(findings))
    sys.stdout.write(f"{', '.join(counted)}: {found} leaks, {len(findings) - found} warnings\n")
    _offer_repair(files, names, repair)
    return int(found > 0)


def _split_files(folder: Path, names: Names) -> SplitFiles:
    paths: dict[int, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        if match := SPLIT_FILE.fullmatch(path.name):
            number = int(match[1])
            if number in paths:
                message = f"{folder}: {paths[number].name} and {path.name} are both of fold {number}; keep one"
                raise InputError(message)
            paths[number] = path
    if not paths:
        message = f"{folder}: no splits_<k>.csv (columns train, val) in it"
        raise InputError(message)
    written = {number: read_anyones_fold(paths[number]) for number in sorted(paths)}
    return SplitFiles(written, {number: names.fold(fold) for number, fold in written.items()})


def _patients_sheet(path: Path | None, names: Names) -> pd.DataFrame:
    sheet = read_text_sheet(path) if path else pd.DataFrame({"patient": []})
    if "patient" not in sheet:
        message = f"{path}: no column `patient`; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    return sheet.assign(patient=[names.patient(name) for name in sheet["patient"]])


def _column(sheet: pd.DataFrame, name: str) -> dict[str, str]:
    """Values of a column by patient, "" where unknown; empty where the sheet has none."""
    if name not in sheet:
        return {}
    return {
        patient: "" if is_unknown(value) else str(value).strip()
        for patient, value in zip(sheet["patient"], sheet[name], strict=True)
    }


def _split_findings(folds: Mapping[int, Fold], sheet: pd.DataFrame, institutions: Path | None) -> list[Finding]:
    sites, kind = _column(sheet, "site"), "column"
    if not sites:
        sites, kind = _barcode_sites(folds.values()), "barcode"
    if institutions:
        named = read_institutions(institutions)
        sites, kind = {patient: named.get(site, site) for patient, site in sites.items()}, "institutions"
    found = audit.audit_splits(list(folds.values()), sites, _column(sheet, "label"), site_kind=kind)
    found += audit.audit_site_codes(found, kind, site_preserved=False)
    numbers = list(folds)
    return [one if one.fold is None else replace(one, fold=numbers[one.fold]) for one in found]


def _barcode_sites(folds: Iterable[Fold]) -> dict[str, str]:
    """Tissue source sites of the patients whose names are TCGA barcodes."""
    all_units = {patient for fold in folds for part in fold.parts.values() for patient in part}
    names = pd.Series(sorted(all_units), dtype=object)
    return {name: site for name, site in zip(names, barcode_sites(names), strict=True) if site}


def _offer_repair(files: SplitFiles, names: Names, repair: Path | None) -> None:
    before = list(files.folds.values())
    fixed = dict(zip(files.folds, repair_folds(before), strict=True))
    changed = [number for number, fold in fixed.items() if fold is not files.folds[number]]
    if repair is None:
        if changed and audit.leaks(audit.audit_splits(before, {}, {})):
            sys.stdout.write("split files that keep every patient once: mirrorflow audit --splits ... --repair OUT\n")
        return
    if not before:
        message = "--repair fixes split files: give --splits FOLDER as well"
        raise InputError(message)
    written = files.written
    for number, fold in fixed.items():
        same = fold is files.folds[number]
        write_fold(
            repair / f"splits_{number}.csv", written[number] if same else to_names(fold, [*written.values()], names)
        )
    said = f"{len(fixed)} split files, {len(changed)} of them changed, every patient once in each"
    sys.stdout.write(f"{repair}: {said}\n")


# Predictions.


def _prediction_files(folder: Path) -> list[Path]:
    paths = sorted(folder.rglob("fold*.parquet"), key=lambda path: (path.parent, len(path.name), path.name))
    if not paths:
        message = f"{folder}: no fold<k>.parquet below it"
        raise InputError(message)
    return paths


def _prediction_findings(
    folder: Path, paths: Sequence[Path], folds: Mapping[int, Fold], sheet: pd.DataFrame, names: Names
) -> list[Finding]:
    """Findings of each method's files, said with where they lie; what several share stands once.

    sheet: of patients; without a column ``label`` the classes are taken from the rows.
    """
    by_method: dict[Path, list[pd.DataFrame]] = {}
    noted: dict[Path, list[audit_rows.Notes]] = {}
    for path in paths:
        rows = read_rows(path)
        rows = rows.assign(patient=[names.patient(name) for name in rows["patient"].astype(str)])
        by_method.setdefault(path.parent, []).append(rows)
        if notes := stored_notes(path):
            noted.setdefault(path.parent, []).append(audit_rows.Notes.of(rows, notes))
    labels = _column(sheet, "label") or _labels_of_rows(by_method)
    places: dict[Finding, list[str]] = {}
    for place, files in by_method.items():
        found = [*_method_findings(files, noted.get(place, []), folds, labels, names)]
        found += [finding for rows in files for finding in audit_rows.audit_targets(rows, sheet)]
        for finding in found:
            places.setdefault(finding, []).append(place.relative_to(folder).as_posix())
    findings = [replace(one, text=f"{_places(where)}{one.text}") for one, where in places.items()]
    if folds:
        findings += _without_split_file(by_method, folds)
    return findings + list(_unequal(folder, by_method))


def _edited(folder: Path, paths: Sequence[Path]) -> Iterator[Finding]:
    """Our own files that are not what the manifest beside them says; others have no manifest."""
    edited = []
    for path in paths:
        manifest = path.parent.parent / "manifest.json"
        checksums = read_manifest(manifest).checksums if manifest.exists() else {}
        if checksums.get(f"{path.parent.name}/{path.name}", "") not in ("", _content(path)):
            edited.append(path.relative_to(folder).as_posix())
    if edited:
        text = f"{len(edited)} predictions files are not what was written: their content was changed afterwards; {FIX}"
        yield Finding(audit.LEAK, EDITED, text, None, len(edited), tuple(edited[:5]))


def _mixed(folder: Path, paths: Sequence[Path]) -> Iterator[Finding]:
    """Tables (protocol and cohort) whose methods noted different features of an encoder, or different expression."""
    tables: dict[str, Origins] = {}
    for path in paths:
        *above, encoder, method, _, _ = ("", "", "", *path.relative_to(folder).parts)
        table = "/".join(filter(None, above))
        tables.setdefault(table, Origins()).read(encoder, method, stored_notes(path))
    for table, origins in tables.items():
        for finding in origins.findings():
            yield replace(finding, text=f"{_places([table or '.'])}{finding.text}")


def _content(path: Path) -> str:
    """Digest of a file's content; that of no file of ours where its notes are gone."""
    try:
        return content_digest(path)
    except InputError:
        return "none of ours"


def _method_findings(
    files: Sequence[pd.DataFrame],
    noted: Sequence[audit_rows.Notes],
    folds: Mapping[int, Fold],
    labels: Mapping[str, str],
    names: Names,
) -> Iterator[Finding]:
    for rows in files:
        yield from audit_rows.audit_rows(rows)
        yield from audit_rows.audit_same_rows(rows)
        number = int(rows["fold"].iloc[0])
        if number in folds:
            yield from audit_rows.audit_patients(rows, number, folds[number], labels)
    yield from audit_rows.audit_notes(noted, lambda unit: labels.get(names.patient(unit), ""))
    yield from audit_rows.audit_evaluated_twice(pd.concat(files))


def _labels_of_rows(by_method: Mapping[Path, Sequence[pd.DataFrame]]) -> dict[str, str]:
    """Classes as the rows of subtyping have them."""
    labelled = [rows for files in by_method.values() for rows in files if "label" in rows]
    known = {name: label for rows in labelled for name, label in zip(rows["patient"], rows["label"], strict=True)}
    return {name: str(label) for name, label in known.items() if not is_unknown(label)}


def _places(names: Sequence[str]) -> str:
    if names == ["."]:
        return ""
    return f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: "


def _without_split_file(
    by_method: Mapping[Path, Sequence[pd.DataFrame]], folds: Mapping[int, Fold]
) -> Iterator[Finding]:
    """Predicted folds that no split file has the number of: they are held against none."""
    predicted = {int(rows["fold"].iloc[0]) for files in by_method.values() for rows in files}
    if missing := sorted(predicted - set(folds)):
        text = (
            f"predictions of fold {', '.join(map(str, missing))} have no split file of that number (there: "
            f"{', '.join(map(str, folds))}) and were held against none"
        )
        yield Finding(audit.WARNING, "no_split_file", text, None, len(missing))


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
