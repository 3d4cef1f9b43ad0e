"""Rule audit: what was really used under a protocol, held against what it claims."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mirrorflow.audit import findings as audit
from mirrorflow.audit.inputs import InputFiles, audit_inputs, audit_source_inputs
from mirrorflow.audit.records import Records, gather
from mirrorflow.audit.source import Source, gather_source
from mirrorflow.cohorts.splits import evaluated_part
from mirrorflow.config.protocols import GENERATED_SPLITS, REPAIRED, repair_hint
from mirrorflow.errors import MirrorflowError
from mirrorflow.plan.paths import CohortFile, GeneManifest, SplitFile, by_inner_fold
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.make_splits import MOVED
from mirrorflow.store.genes import read_record
from mirrorflow.store.method_predictions import FIX
from mirrorflow.store.tables import read_cohort, read_fold, read_text_sheet


@dataclass(frozen=True)
class Inputs:
    """Files of a model scope on a cohort, and of an adapted cohort's source; see :func:`run_audit`."""

    cohort: Path
    splits: list[str]
    split_summary: str
    genes: list[str]
    support: str | None
    models: list[str]
    few_shot_genes: list[str]
    inner_splits: list[str]
    inner_genes: list[str]
    own_genes: list[str]
    expression: str
    manifests: list[str]
    indexes: list[str]
    """Of the features of every encoder, in the order of the param ``encoders``."""
    matrix: str
    lists: list[str]
    """Lists of genes that a user gave."""
    source_cohort: Path | None
    source_splits: list[str]
    source_genes: list[str]
    source_models: list[str]
    source_indexes: list[str]


@dataclass(frozen=True)
class Outputs:
    """The record; its page lies beside it."""

    record: Path


@dataclass(frozen=True)
class Params:
    """The protocol's keys; k-shot settings; where sites come from; encoders and columns that methods see; whether the
    config says that the matrix was scaled.
    """

    protocol: Mapping[str, Any]
    shots: list[int]
    site_kind: str
    encoders: list[str]
    source_encoders: list[str]
    columns: list[str]
    scaled_upstream: bool


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Audit the protocol on the cohort."""
    source = None
    if inputs.source_cohort:
        indexes = dict(zip(params.source_encoders, inputs.source_indexes, strict=True))
        files = (str(inputs.source_cohort), inputs.source_splits, inputs.source_genes, inputs.source_models)
        source = Source(CohortFile.parse(inputs.source_cohort).cohort, *files, indexes)
    run_audit(
        str(inputs.cohort),
        inputs.splits,
        inputs.genes,
        inputs.manifests,
        str(outputs.record.with_suffix("")),
        protocol=params.protocol,
        shots=params.shots,
        name=job.wildcards["protocol"],
        scaled_upstream=params.scaled_upstream,
        support=inputs.support or "",
        models=inputs.models,
        few_shot_genes=inputs.few_shot_genes,
        expression=inputs.expression,
        source=source,
        inner_splits=inputs.inner_splits,
        inner_genes=inputs.inner_genes,
        own_genes=inputs.own_genes,
        split_summary=inputs.split_summary,
        site_kind=params.site_kind,
        inputs=InputFiles(
            dict(zip(params.encoders, inputs.indexes, strict=True)), inputs.matrix, params.columns, inputs.lists
        ),
    )


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
    support: str = "",
    models: Sequence[str] = (),
    few_shot_genes: Sequence[str] = (),
    expression: str | None = None,
    source: Source | None = None,
    inner_splits: Sequence[str] = (),
    inner_genes: Sequence[str] = (),
    own_genes: Sequence[str] = (),
    split_summary: str = "",
    site_kind: str = "barcode",
    inputs: InputFiles | None = None,
) -> list[audit.Finding]:
    """Audit a protocol on a cohort; write ``<stem>.json`` and ``<stem>.md``.

    genes: manifests of the folds, each with a ``.json`` beside it that lists the patients whose labels were
    seen; manifests: of the methods' predictions; scaled_upstream: what the config says of the matrix; support:
    the drawn support sets; models: done.json of the pretrained folds of the protocol's model scope;
    few_shot_genes: the manifests of the k-shot settings, where they have genes of their own;
    expression: the record of the converted matrix; inner_splits, inner_genes: of every inner fold and
    fold, where the protocol chooses the epoch on them; own_genes: manifests of methods that have a gene
    selection of their own, in folders of their names; source: where the encoders of an adapted cohort come from
    (``cohort`` and everything else is then the target's); split_summary: what make_splits says of the folds;
    site_kind: where sites come from, a key of :data:`mirrorflow.audit.SITE_NOUNS` or ``none``; inputs: what the
    methods are given.
    """
    frame, _ = read_cohort(cohort)
    folds = [read_fold(path) for path in splits]
    sites = dict(zip(frame["patient"], frame["site"].fillna(""), strict=True))
    labels = dict(zip(frame["patient"], frame["label"].fillna(""), strict=True))
    findings = audit.audit_protocol(protocol) + audit.audit_splits(folds, sites, labels, site_kind=site_kind)
    findings += audit.audit_site_codes(findings, site_kind, site_preserved=protocol["splits"] == "site_preserved")
    chosen, of_shots, own = ([read_record(path) for path in paths] for paths in (genes, few_shot_genes, own_genes))
    of_inner = [[read_record(path) for path in paths] for paths in by_inner_fold(GeneManifest, inner_genes)]
    findings += audit.audit_genes(folds, chosen, shots, of_shots)
    inner = by_inner_fold(SplitFile, inner_splits)
    parts = [[read_fold(path) for path in paths] for paths in inner]
    findings += audit.audit_inner(folds, parts, of_inner)
    findings += audit.audit_transductive(
        scaled_upstream=scaled_upstream, like_z_scores=_like_z_scores(expression) if expression else 0.0
    )
    every_gene = [*genes, *few_shot_genes, *inner_genes, *own_genes]
    records = Records(every_gene, support, models, manifests, inner, own_genes)
    found = gather(records, frame, folds, protocol)
    findings += found.findings
    given, lists = audit_inputs(inputs or InputFiles(), frame, folds)
    findings += given
    found.seen += lists
    if source is not None:
        brought = gather_source(source, folds, protocol["unit"])
        findings += brought.findings
        ours = inputs.indexes if inputs else {}
        findings += audit_source_inputs(source.name, source.indexes, read_cohort(source.cohort)[0], ours, frame)
        found.seen += brought.seen
    moved = _moved(split_summary)
    record = {
        "protocol": name,
        "cohort": Path(stem).name if source else Path(cohort).stem,
        "claims_honest": protocol["claims_honest"],
        "keys": dict(protocol),
        "seen": [asdict(line) for line in found.seen],
        "repaired": moved,
        "gene_labels": {"all": _label_counts(chosen), "k-shot": _label_counts(of_shots or chosen) if shots else []},
        "findings": audit.to_records(findings),
        "leaks": len(audit.leaks(findings)),
    }
    part = evaluated_part(folds)
    every_record = [*chosen, *of_shots, *itertools.chain(*of_inner), *own]
    record["remarks"] = [f"{part[:1].upper()}{part[1:]}."] if part else []
    record["remarks"] += [*_remarks(record), audit.outcome_line(every_record)]
    write_text(f"{stem}.json", json.dumps(record, indent=1, sort_keys=True))
    write_text(f"{stem}.md", to_markdown(record, findings))
    return findings


def is_withheld(record: Mapping[str, Any], *, strict: bool) -> bool:
    """Whether the numbers of an audited protocol are kept out of every table.

    With ``strict`` under an honest claim with a leak; always where its predictions are not the run's own.
    """
    leaking = {finding["kind"] for finding in record["findings"] if finding["level"] == audit.LEAK}
    return bool(leaking & audit.UNUSABLE) or (strict and bool(record["claims_honest"]) and bool(leaking))


def fail_on_leak(record: str, *, strict: bool) -> None:
    """Raise MirrorflowError where :func:`is_withheld` holds, with every leak and the fix."""
    audited = json.loads(Path(record).read_text())
    leaks = audit.leaks([audit.Finding(**finding) for finding in audited["findings"]])
    if is_withheld(audited, strict=strict):
        said = "\n".join(f"  {_where(finding)}{finding.text}{_named(finding)}" for finding in leaks)
        if any(finding.kind in audit.UNUSABLE for finding in leaks):
            why = "has predictions that are not the run's own, from which no number is made"
            fix = f"No setting allows it: {FIX}."
        else:
            why = "claims to be honest"
            fix = (
                f"Mend the splits or the protocol{_mend(audited)}, or set `claims_honest: false` for it, or "
                "`strict: false`."
            )
        message = (
            f"{record}: {audited['protocol']} on {audited['cohort']} {why} and has {len(leaks)} leaks:\n{said}\n{fix}"
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
        *[line for remark in record.get("remarks", ()) for line in (remark, "")],
    ]
    if findings:
        lines += ["| level | where | finding | examples |", "| --- | --- | --- | --- |"]
        lines += [f"| {f.level} | {_where(f).rstrip(': ')} | {f.text} | {', '.join(f.examples)} |" for f in findings]
    else:
        lines.append("Nothing found.")
    if record.get("seen"):
        lines += ["", "Who was really seen, by the records:", ""]
        lines += ["| what | fold | patients | of them evaluated | by |", "| --- | --- | --- | --- | --- |"]
        lines += [_seen_line(line) for line in record["seen"]]
    return "\n".join(lines) + "\n"


def _remarks(record: Mapping[str, Any]) -> Iterator[str]:
    """Sentences that stand on the page whatever was found: repaired folds, labels that chose genes, the fix."""
    if record["repaired"]:
        by_fold = ", ".join(map(str, record["repaired"]))
        total = sum(record["repaired"])
        yield f"Folds repaired, every patient is kept once: {total} patients moved (by fold: {by_fold})."
    if fix := _mend(record):
        yield f"Patients are shared between parts of a fold{fix}."
    for setting, counts in record["gene_labels"].items():
        if counts:
            yield f"Labels that chose the genes of setting {setting}, by fold: {', '.join(map(str, counts))}."


def _mend(record: Mapping[str, Any]) -> str:
    """How folds that share patients are fixed; nothing where none does."""
    if not any(finding["kind"] == "patients_in_both" for finding in record["findings"]):
        return ""
    splits = record.get("keys", {}).get("splits", "")
    if not splits or splits in GENERATED_SPLITS or splits.endswith(REPAIRED):
        return ""
    command = "`mirrorflow audit --splits FOLDER --repair OUT` writes them"
    return f" ({repair_hint(splits)}; {command})"


def _moved(summary: str) -> list[int]:
    """Patients of each fold whom a repair moved; empty where folds are as they were given or drawn."""
    if not summary:
        return []
    sheet = read_text_sheet(summary)
    return [int(count) for count in sheet[MOVED]] if MOVED in sheet else []


def _seen_line(line: Mapping[str, Any]) -> str:
    counts = ["unknown" if line[key] < 0 else str(line[key]) for key in ("patients", "of_evaluation")]
    fold = "all" if line["fold"] < 0 else line["fold"]
    return f"| {line['what']} | {fold} | {counts[0]} | {counts[1]} | {line['detail']} |"


def _where(finding: audit.Finding) -> str:
    return "all folds: " if finding.fold is None else f"fold {finding.fold}: "


def _named(finding: audit.Finding) -> str:
    """The examples of a finding, for a message."""
    return f" ({', '.join(finding.examples)})" if finding.examples else ""


def _like_z_scores(record: str) -> float:
    """Share of the genes that look standardised; 0 where the matrix was converted before this was counted."""
    counts = json.loads(Path(record).read_text(encoding="utf-8"))["counts"]
    return counts.get("genes_like_z_scores", 0) / max(counts["genes"], 1)


def _label_counts(records: Sequence[audit.GeneRecord]) -> list[int]:
    return [len(record["label_patients"]) for record in records]
