"""Rule audit: what was really used under a protocol, held against what it claims."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.audit import findings as audit
from mirrorflow.audit.encoders import audit_encoders, unknown_line
from mirrorflow.audit.inputs import InputFiles, audit_inputs, audit_source_inputs
from mirrorflow.audit.page import remarks_of, to_markdown
from mirrorflow.audit.records import Records, gather
from mirrorflow.audit.sites import CLASS, audit_sites, lacking_sites, sites_lines
from mirrorflow.audit.source import Source, gather_source
from mirrorflow.cohorts.splits import Fold, evaluated_part
from mirrorflow.plan.paths import CohortFile, GeneManifest, SplitFile, by_inner_fold
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.make_splits import MOVED
from mirrorflow.store.genes import read_record
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
    expression: str | None
    manifests: list[str]
    indexes: list[str]
    """Of the features of every encoder, in the order of the param ``encoders``."""
    matrix: str | None
    sheet: str | None
    """The sheet of slides."""
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
    saw: Mapping[str, Mapping[str, Any]]
    """Encoder -> what it was trained on (:class:`mirrorflow.config.saw.Saw`)."""
    collection: str
    """Public collection that the patients are of; empty: by their names."""
    encoders: list[str]
    source_encoders: list[str]
    columns: list[str]
    slide_columns: Mapping[str, str]
    """Our names of the columns of the sheet of slides, and those of the sheet."""
    method_inputs: Mapping[str, list[str]]
    """Method -> what it sees, where methods take the patients who have that."""
    scaled_upstream: bool
    planned: list[Mapping[str, Any]]
    """What the predictions are planned with."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Audit the protocol on the cohort."""
    hold_predictions(params.planned)
    source = None
    if inputs.source_cohort:
        indexes = dict(zip(params.source_encoders, inputs.source_indexes, strict=True))
        theirs = (str(inputs.source_cohort), inputs.source_splits, inputs.source_genes, inputs.source_models)
        source = Source(CohortFile.parse(inputs.source_cohort).cohort, *theirs, indexes)
    files = AuditFiles(
        str(inputs.cohort),
        inputs.splits,
        inputs.genes,
        inputs.manifests,
        support=inputs.support or "",
        models=inputs.models,
        few_shot_genes=inputs.few_shot_genes,
        expression=inputs.expression,
        inner_splits=inputs.inner_splits,
        inner_genes=inputs.inner_genes,
        own_genes=inputs.own_genes,
        split_summary=inputs.split_summary,
    )
    name, stem = job.wildcards["protocol"], str(outputs.record.with_suffix(""))
    settings = AuditSettings(
        params.protocol,
        params.shots,
        name,
        params.scaled_upstream,
        params.site_kind,
        saw=params.saw,
        collection=params.collection,
        inputs=params.method_inputs,
    )
    indexes = dict(zip(params.encoders, inputs.indexes, strict=True))
    given = InputFiles(
        indexes, inputs.matrix or "", params.columns, inputs.lists, inputs.sheet or "", params.slide_columns
    )
    run_audit(files, settings, stem, source=source, inputs=given)


@dataclass(frozen=True)
class AuditFiles:
    """What a protocol used on a cohort.

    genes: manifests of the folds, each with a ``.json`` beside it that lists the patients whose labels were
    seen; manifests: of the methods' predictions; support: the drawn support sets; models: done.json of the pretrained
    folds of the protocol's model scope; few_shot_genes: the manifests of the k-shot settings, where they have genes of
    their own; expression: the record of the converted matrix; inner_splits, inner_genes: of every inner fold and
    fold, where the protocol chooses the epoch on them; own_genes: manifests of methods that have a gene
    selection of their own, in folders of their names; split_summary: what make_splits says of the folds.
    """

    cohort: str
    splits: Sequence[str]
    genes: Sequence[str]
    manifests: Sequence[str]
    support: str = ""
    models: Sequence[str] = ()
    few_shot_genes: Sequence[str] = ()
    expression: str | None = None
    inner_splits: Sequence[str] = ()
    inner_genes: Sequence[str] = ()
    own_genes: Sequence[str] = ()
    split_summary: str = ""

    @property
    def every_gene(self) -> list[str]:
        """All gene manifests."""
        return [*self.genes, *self.few_shot_genes, *self.inner_genes, *self.own_genes]


@dataclass(frozen=True)
class AuditSettings:
    """The protocol's keys, its k-shot settings and its name; what the config says of the matrix and of sites.

    site_kind: where sites come from, a key of :data:`mirrorflow.audit.findings.SITE_NOUNS` or ``none``.
    """

    protocol: Mapping[str, Any]
    shots: Sequence[int]
    name: str
    scaled_upstream: bool
    site_kind: str = "barcode"
    saw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    collection: str = ""
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _GeneRecords:
    """Whose labels chose genes: of the folds, of k-shot settings, of methods' own; of inner folds [inner][fold]."""

    chosen: Sequence[audit.GeneRecord]
    of_shots: Sequence[audit.GeneRecord]
    own: Sequence[audit.GeneRecord]
    of_inner: Sequence[Sequence[audit.GeneRecord]]

    @classmethod
    def of(cls, files: AuditFiles) -> "_GeneRecords":
        inner = by_inner_fold(GeneManifest, files.inner_genes)
        return cls(
            [read_record(path) for path in files.genes],
            [read_record(path) for path in files.few_shot_genes],
            [read_record(path) for path in files.own_genes],
            [[read_record(path) for path in paths] for paths in inner],
        )

    @property
    def all(self) -> list[audit.GeneRecord]:
        return [*self.chosen, *self.of_shots, *itertools.chain(*self.of_inner), *self.own]


def run_audit(
    files: AuditFiles,
    settings: AuditSettings,
    stem: str,
    *,
    source: Source | None = None,
    inputs: InputFiles | None = None,
) -> list[audit.Finding]:
    """Audit a protocol on a cohort; write ``<stem>.json`` and ``<stem>.md``.

    source: where the encoders of an adapted cohort come from (the files are then the target's); inputs: what the
    methods are given.
    """
    frame, _ = read_cohort(files.cohort)
    folds, genes, given = [read_fold(path) for path in files.splits], _GeneRecords.of(files), inputs or InputFiles()
    findings = _of_protocol(files, settings, frame, folds, genes)
    inner = by_inner_fold(SplitFile, files.inner_splits)
    records = Records(files.every_gene, files.support, files.models, files.manifests, inner, files.own_genes)
    records = replace(records, inputs=settings.inputs)
    found = gather(records, frame, folds, settings.protocol)
    of_inputs, lists = audit_inputs(given, frame, folds)
    findings += [*found.findings, *of_inputs]
    found.seen += lists
    if source is not None:
        brought = gather_source(source, folds, settings.protocol["unit"])
        patients = read_cohort(source.cohort)[0]
        findings += brought.findings
        findings += audit_source_inputs(source.name, source.indexes, patients, given.indexes, frame)
        found.seen += brought.seen
    part = evaluated_part(folds)
    of_encoders, saw = audit_encoders(settings.saw, folds, settings.collection)
    findings += of_encoders
    record = {
        "protocol": settings.name,
        "cohort": Path(stem).name if source else Path(files.cohort).stem,
        "claims_honest": settings.protocol["claims_honest"],
        "keys": dict(settings.protocol),
        "seen": [asdict(line) for line in found.seen],
        "repaired": _moved(files.split_summary),
        "lacking_sites": lacking_sites(frame),
        "encoder_saw": saw,
        "gene_labels": {
            "all": _label_counts(genes.chosen),
            "k-shot": _label_counts(genes.of_shots or genes.chosen) if settings.shots else [],
        },
        "findings": audit.to_records(findings),
        "leaks": len(audit.leaks(findings)),
    }
    record["remarks"] = [f"{part[:1].upper()}{part[1:]}."] if part else []
    record["remarks"] += [*remarks_of(record), audit.outcome_line(genes.all)]
    record["remarks"] += [*sites_lines(frame, settings.site_kind), *filter(None, [unknown_line(saw)])]
    write_text(f"{stem}.json", json.dumps(record, indent=1, sort_keys=True))
    write_text(f"{stem}.md", to_markdown(record, findings))
    return findings


def _of_protocol(
    files: AuditFiles, settings: AuditSettings, frame: pd.DataFrame, folds: Sequence[Fold], genes: _GeneRecords
) -> list[audit.Finding]:
    """What the protocol's keys, its folds and its genes give away."""
    sites = dict(zip(frame["patient"], frame["site"].fillna(""), strict=True))
    labels = dict(zip(frame["patient"], frame["label"].fillna(""), strict=True))
    kind, preserved = settings.site_kind, settings.protocol["splits"] == "site_preserved"
    findings = audit.audit_protocol(settings.protocol)
    findings += audit.audit_splits(folds, sites, labels, site_kind=kind)
    findings += audit.audit_site_codes(findings, kind, site_preserved=preserved)
    told = {CLASS} & {finding.kind for finding in findings}  # without error: said already
    findings += [finding for finding in audit_sites(frame, folds, site_kind=kind) if finding.kind not in told]
    findings += audit.audit_genes(folds, genes.chosen, settings.shots, genes.of_shots)
    parts = [[read_fold(path) for path in paths] for paths in by_inner_fold(SplitFile, files.inner_splits)]
    findings += audit.audit_inner(folds, parts, genes.of_inner)
    like_z_scores = _like_z_scores(files.expression) if files.expression else 0.0
    return findings + audit.audit_transductive(scaled_upstream=settings.scaled_upstream, like_z_scores=like_z_scores)


def _moved(summary: str) -> list[int]:
    """Patients of each fold that a repair moved; empty where folds are as they were given or drawn."""
    if not summary:
        return []
    sheet = read_text_sheet(summary)
    return [int(count) for count in sheet[MOVED]] if MOVED in sheet else []


def _like_z_scores(record: str) -> float:
    """Share of the genes that look standardised; 0 where the matrix was converted before this was counted."""
    counts = json.loads(Path(record).read_text(encoding="utf-8"))["counts"]
    return counts.get("genes_like_z_scores", 0) / max(counts["genes"], 1)


def _label_counts(records: Sequence[audit.GeneRecord]) -> list[int]:
    return [len(record["label_patients"]) for record in records]
