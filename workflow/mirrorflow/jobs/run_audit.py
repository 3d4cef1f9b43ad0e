"""Rule audit: what was really used under a protocol, held against what it claims."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow import audit
from mirrorflow.cohort import barcode_sites, to_units
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.splits import Fold
from mirrorflow.store.files import write_text
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_cohort, read_fold, read_text_sheet


def run_audit(
    cohort: str,
    splits: Sequence[str],
    genes: Sequence[str],
    manifests: Sequence[str],
    stem: str,
    *,
    protocol: Mapping[str, Any],
    shots: Sequence[int],
    name: str,
    scaled_upstream: bool,
    few_shot_genes: Sequence[str] = (),
    expression: str | None = None,
) -> list[audit.Finding]:
    """Audit a protocol on a cohort; write ``<stem>.json`` and ``<stem>.md``.

    genes: manifests of the folds, each with a ``.json`` beside it that lists the patients whose labels were
    seen; manifests: of the methods' predictions; scaled_upstream: what the config says of the matrix;
    few_shot_genes: the manifests of the k-shot settings, where they have genes of their own;
    expression: the record of the converted matrix.
    """
    frame, _ = read_cohort(cohort)
    folds = [read_fold(path) for path in splits]
    sites = dict(zip(frame["patient"], frame["site"].fillna(""), strict=True))
    labels = dict(zip(frame["patient"], frame["label"].fillna(""), strict=True))
    findings = audit.audit_protocol(protocol) + audit.audit_splits(folds, sites, labels)
    seen, of_shots = ([_labels_seen(path) for path in paths] for paths in (genes, few_shot_genes))
    findings += audit.audit_genes(folds, seen, shots, of_shots)
    findings += audit.audit_transductive(
        scaled_upstream=scaled_upstream, like_z_scores=_like_z_scores(expression) if expression else 0.0
    )
    units = to_units(frame, protocol["unit"])
    unit_labels = dict(zip(units["unit"], units["label"].fillna(""), strict=True))
    findings += audit.audit_lost(_lost(manifests), unit_labels)
    record = {
        "protocol": name,
        "cohort": Path(cohort).stem,
        "claims_honest": protocol["claims_honest"],
        "keys": dict(protocol),
        "gene_labels": {"all": _counts(seen), "k-shot": _counts(of_shots or seen) if shots else []},
        "findings": audit.to_records(findings),
        "leaks": len(audit.leaks(findings)),
    }
    write_text(f"{stem}.json", json.dumps(record, indent=1, sort_keys=True))
    write_text(f"{stem}.md", to_markdown(record, findings))
    return findings


def stop_if_dishonest(record: str, *, strict: bool) -> None:
    """Raise MirrorflowError when a protocol that claims to be honest has a leak and ``strict`` holds."""
    audited = json.loads(Path(record).read_text())
    findings = [audit.Finding(**finding) for finding in audited["findings"]]
    leaks = audit.leaks(findings)
    if strict and audited["claims_honest"] and leaks:
        said = "\n".join(f"  {_where(finding)}{finding.text}" for finding in leaks)
        message = (
            f"{record}: {audited['protocol']} on {audited['cohort']} claims to be honest and has {len(leaks)} leaks:\n"
            f"{said}\nMend the splits or the protocol, or set `claims_honest: false` for it, or `strict: false`."
        )
        raise MirrorflowError(message)


def to_markdown(record: Mapping[str, Any], findings: Sequence[audit.Finding]) -> str:
    """The audit as a page for people."""
    claim = "claims to be honest" if record["claims_honest"] else "does not claim to be honest"
    lines = [
        f"# Audit of {record['protocol']} on {record['cohort']}",
        "",
        f"The protocol {claim}; {record['leaks']} leaks, {len(findings) - record['leaks']} warnings.",
        "",
        *[f"- {key}: {value}" for key, value in sorted(record["keys"].items())],
        "",
        *[
            f"Labels that chose the genes of setting {setting}, by fold: {', '.join(map(str, counts))}."
            for setting, counts in record.get("gene_labels", {}).items()
            if counts
        ],
        "",
    ]
    if findings:
        lines += ["| level | where | finding | examples |", "| --- | --- | --- | --- |"]
        lines += [f"| {f.level} | {_where(f).rstrip(': ')} | {f.text} | {', '.join(f.examples)} |" for f in findings]
    else:
        lines.append("Nothing found.")
    return "\n".join(lines) + "\n"


def _where(finding: audit.Finding) -> str:
    return "all folds: " if finding.fold is None else f"fold {finding.fold}: "


def _labels_seen(manifest: str) -> list[str]:
    return json.loads(Path(manifest).with_suffix(".json").read_text())["label_patients"]


def _like_z_scores(record: str) -> float:
    """Share of the genes that look standardised; 0 where the matrix was converted before this was counted."""
    counts = json.loads(Path(record).read_text(encoding="utf-8"))["counts"]
    return counts.get("genes_like_z_scores", 0) / max(counts["genes"], 1)


def _counts(lists: Sequence[Sequence[str]]) -> list[int]:
    return [len(names) for names in lists]


def _lost(manifests: Sequence[str]) -> dict[int, list[str]]:
    """Units lost at evaluation of subtyping by fold: the same for every method of a protocol."""
    lost: dict[int, set[str]] = {}
    for manifest in manifests:
        for name in json.loads(Path(manifest).read_text())["written"]:
            if name.startswith("subtyping/"):
                stored = read_predictions(Path(manifest).parent / name)
                units = {unit for note in stored.notes["settings"] for unit in note["lost_units"]}
                lost.setdefault(int(stored.rows["fold"].iloc[0]), set()).update(units)
    return {fold: sorted(units) for fold, units in lost.items()}


def audit_folder(folder: Path, patients: Path | None) -> int:
    """``mirrorflow audit``: print the findings of anyone's split files; returns 1 when one is a leak."""
    paths = sorted(folder.glob("splits_*.csv"), key=lambda path: (len(path.name), path.name))
    if not paths:
        message = f"{folder}: no splits_<k>.csv (columns train, val) in it"
        raise InputError(message)
    sheet = read_text_sheet(patients) if patients else pd.DataFrame({"patient": []})
    if "patient" not in sheet:
        message = f"{patients}: no column `patient`; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    sites, labels = (
        dict(zip(sheet["patient"], sheet[name], strict=True)) if name in sheet else {} for name in ("site", "label")
    )
    folds = [read_fold(path) for path in paths]
    findings = audit.audit_splits(folds, sites or _barcode_sites(folds), labels)
    for finding in findings:
        sys.stdout.write(f"{finding.level}: {_where(finding)}{finding.text} ({', '.join(finding.examples)})\n")
    found = len(audit.leaks(findings))
    sys.stdout.write(f"{len(folds)} folds: {found} leaks, {len(findings) - found} warnings\n")
    return int(found > 0)


def _barcode_sites(folds: Sequence[Fold]) -> dict[str, str]:
    """Tissue source sites of the patients whose names are TCGA barcodes."""
    names = pd.Series(sorted({patient for fold in folds for patient in (*fold.train, *fold.val)}), dtype=object)
    return {name: site for name, site in zip(names, barcode_sites(names), strict=True) if site}
