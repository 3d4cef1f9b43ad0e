"""The auditor: reads what was really used and names every leak and every warning.

A ``leak`` lets evaluation data or labels into what is fitted or chosen; a ``warning`` makes results look
better or less comparable than a reader would assume, without that.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any

import pandas as pd

from mirrorflow.audit.chance import against_chance, with_most
from mirrorflow.cohorts.outcomes import FILLED_IN, OTHER_TARGETS, UNKNOWN_PATIENTS
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import ON_EVALUATION
from mirrorflow.store.method_predictions import EDITED

LEAK, WARNING = "leak", "warning"

UNUSABLE = frozenset({EDITED, UNKNOWN_PATIENTS, FILLED_IN, OTHER_TARGETS})
"""Kinds of leaks that no number may be made from, whatever a protocol claims: predictions that are not the run's."""


@dataclass(frozen=True)
class Finding:
    """One thing found. ``fold`` is None when it concerns all folds."""

    level: str
    kind: str
    text: str
    fold: int | None = None
    count: int = 0
    examples: tuple[str, ...] = field(default=())


def to_records(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Findings as plain mappings."""
    return [asdict(finding) for finding in findings]


SITE_NOUNS = {"barcode": "tissue source sites", "column": "sites", "institutions": "institutions"}
"""What sites are called that come from barcodes, from a sheet's column, or from a table of institutions."""


def audit_splits(
    folds: Sequence[Fold], sites: Mapping[str, str], labels: Mapping[str, str], *, site_kind: str = "barcode"
) -> list[Finding]:
    """Patients and sites on both sides, overlapping evaluation folds, duplicates, folds that lack a class.

    ``sites`` and ``labels`` map patients; either may be empty. site_kind: a key of :data:`SITE_NOUNS`, where the
    sites come from.
    """
    findings: list[Finding] = []
    noun = SITE_NOUNS.get(site_kind, "sites")
    for number, fold in enumerate(folds):
        findings += _patients_on_both_sides(number, fold)
        findings += _duplicates(number, fold)
        findings += _sites_on_both_sides(number, fold, sites, noun)
        findings += _absent_classes(number, fold, labels)
    findings += _overlapping_evaluation(folds)
    findings += _telling_sites(folds, sites, labels, noun)
    return findings


def audit_site_codes(findings: Sequence[Finding], site_kind: str, *, site_preserved: bool) -> list[Finding]:
    """A remark where sites count, being shared or kept apart by claim, and are known by their barcode's code alone.

    findings: of :func:`audit_splits`; site_preserved: whether the protocol says that folds keep sites apart.
    """
    counts = site_preserved or any(finding.kind == "sites_in_both" for finding in findings)
    if site_kind != "barcode" or not counts:
        return []
    text = (
        "sites were compared by code only: a code is not a hospital, two codes can be one; `institutions:` tells "
        "(the word tcga, or a table with the columns site and institution)"
    )
    return [Finding(WARNING, "site_codes", text)]


def _examples(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:5])


def _patients_on_both_sides(number: int, fold: Fold) -> Iterator[Finding]:
    for (one, its), (other, theirs) in combinations(fold.parts.items(), 2):
        if shared := set(its) & set(theirs):
            text = f"{len(shared)} patients are in {one} and {other}"
            yield Finding(LEAK, "patients_in_both", text, number, len(shared), _examples(shared))


def _duplicates(number: int, fold: Fold) -> Iterator[Finding]:
    for side, patients in fold.parts.items():
        twice = {name for name, count in Counter(patients).items() if count > 1}
        if twice:
            text = f"{len(twice)} patients are listed more than once in {side}"
            yield Finding(WARNING, "duplicates", text, number, len(twice), _examples(twice))


def _sites_on_both_sides(number: int, fold: Fold, sites: Mapping[str, str], noun: str) -> Iterator[Finding]:
    known = {side: {sites.get(patient, "") for patient in part} - {""} for side, part in fold.parts.items()}
    for (one, its), (other, theirs) in combinations(known.items(), 2):
        if shared := its & theirs:
            text = f"{len(shared)} of {len(its | theirs)} {noun} are in {one} and {other}"
            yield Finding(WARNING, "sites_in_both", text, number, len(shared), _examples(shared))


SITE_TELLS = 0.95
"""Share of patients whose class is that of most of their site from which on a site is said to tell the class."""


def _telling_sites(
    folds: Sequence[Fold], sites: Mapping[str, str], labels: Mapping[str, str], noun: str
) -> Iterator[Finding]:
    """Sites of several patients that, together, hold each one class only, as TCGA's codes do: one code, one project."""
    all_units = sorted({patient for fold in folds for part in fold.parts.values() for patient in part})
    placed = [(sites[one], labels[one]) for one in all_units if sites.get(one) and labels.get(one)]
    sizes = Counter(site for site, _ in placed)
    several = [(site, label) for site, label in placed if sizes[site] > 1]
    most = max(Counter(label for _, label in several).values(), default=0)
    if len({site for site, _ in several}) <= 2 or most >= SITE_TELLS * len(several):  # two sites of two classes: chance
        return
    found = against_chance(partial(with_most, several), len(several))
    if found.value >= SITE_TELLS * len(several) and found.beyond:
        text = (
            f"{noun} tell the class: {found.value:.0f} of {len(several)} patients have that of most patients of their "
            f"{noun.removesuffix('s')} ({found.words(0)}). Slides show where they were stained: folds that share sites "
            "reward a model for that, folds that part two codes of one hospital punish it (AUROC below 0.5)"
        )
        yield Finding(
            WARNING, "sites_tell_class", text, None, int(found.value), _examples({site for site, _ in several})
        )


def _absent_classes(number: int, fold: Fold, labels: Mapping[str, str]) -> Iterator[Finding]:
    everywhere = set(labels.values()) - {""}
    for side, patients in fold.parts.items():
        absent = everywhere - {labels.get(patient, "") for patient in patients}
        if absent:
            text = f"{side} has no patient of class {', '.join(sorted(absent))}"
            yield Finding(WARNING, "absent_class", text, number, len(absent), _examples(absent))


def _overlapping_evaluation(folds: Sequence[Fold]) -> Iterator[Finding]:
    counts = Counter(patient for fold in folds for patient in set(fold.evaluated))
    several = {patient for patient, count in counts.items() if count > 1}
    if several:
        text = f"{len(several)} patients are evaluated in more than one fold"
        yield Finding(WARNING, "evaluation_overlap", text, None, len(several), _examples(several))


GeneRecord = Mapping[str, Any]
"""What stands beside a gene manifest: ``label_patients`` (whose subtype labels chose the genes) and, as far as it has
them, ``outcome_patients``, ``value_patients``, ``genes`` and ``genes_by_reason``."""


def chosen_genes(record: GeneRecord) -> int | None:
    """How many genes were chosen, lists of curated genes left out; None where the record does not say."""
    by_reason = record.get("genes_by_reason")
    if not by_reason:
        return None
    return sum(count for reason, count in by_reason.items() if reason not in ("census", "drivers"))


def counted_genes(name: str, record: GeneRecord) -> str:
    """``1500 of 1900 genes``, the chosen ones of all, as far as the record counts them."""
    chosen = chosen_genes(record)
    return name if chosen is None else f"{chosen} of {record['genes']} {name}"


def audit_genes(
    folds: Sequence[Fold],
    records: Sequence[GeneRecord],
    shots: Sequence[int],
    few_shot_records: Sequence[GeneRecord] = (),
) -> list[Finding]:
    """Evaluation patients whose labels the gene selection of a fold has seen; k-shot genes that saw more labels.

    records: of the folds' gene manifests; few_shot_records: of those of the k-shot settings, where these have genes
    of their own.
    """
    findings = [*_gene_labels("genes", folds, records)]
    findings += _gene_labels("genes of the k-shot settings", folds, few_shot_records)
    of_shots = [len(record["label_patients"]) for record in few_shot_records or records]
    if shots and any(of_shots):
        counts = sorted(set(of_shots))
        number_of = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        text = (
            f"genes of the k-shot settings were chosen with {number_of} labels, more than the k "
            "per class the probe sees"
        )
        findings.append(Finding(WARNING, "few_shot_gene_labels", text, None, counts[-1]))
    return findings


def _gene_labels(what: str, folds: Sequence[Fold], records: Sequence[GeneRecord]) -> Iterator[Finding]:
    for number, (fold, record) in enumerate(zip(folds, records, strict=bool(records))):
        seen = set(record["label_patients"])
        if leaked := set(fold.val) & seen:
            text = (
                f"{counted_genes(what, record)} were chosen with the subtype labels of {len(seen)} patients, "
                f"{len(leaked)} evaluation patients among them"
            )
            yield Finding(LEAK, "gene_labels", text, number, len(leaked), _examples(leaked))


def audit_gene_labels(what: str, fold: Fold, number: int, record: GeneRecord) -> list[Finding]:
    """Evaluation patients of one fold whose subtype labels chose its genes."""
    return [replace(finding, fold=number) for finding in _gene_labels(what, [fold], [record])]


def outcome_line(records: Sequence[GeneRecord]) -> str:
    """Whether any of the genes were chosen with outcomes, and of how many patients; said either way."""
    silent = sum("outcome_patients" not in record for record in records)
    patients = {name for record in records for name in record.get("outcome_patients", ())}
    said = f"Outcomes of {len(patients)} patients were used" if patients else "No outcome was used"
    unknown = f" ({silent} of {len(records)} gene manifests were made before this was noted)" if silent else ""
    return f"{said} to choose genes{unknown}."


def unseen_by(fold: Fold, inner: Fold) -> Fold:
    """An inner fold as its genes and models are judged: neither its validation nor evaluation patients are seen."""
    return Fold(inner.train, (*inner.val, *fold.val))


def audit_inner(
    folds: Sequence[Fold], inner: Sequence[Sequence[Fold]], records: Sequence[Sequence[GeneRecord]] = ()
) -> list[Finding]:
    """Inner folds [inner fold][fold] on which the epoch is chosen: who is on both sides, or evaluated on the fold.

    records: [inner fold][fold], of their gene manifests.
    """
    findings: list[Finding] = []
    for number, parts in enumerate(inner):
        for k, (fold, part) in enumerate(zip(folds, parts, strict=True)):
            shared, evaluated = set(part.train) & set(part.val), {*part.train, *part.val} & set(fold.val)
            if shared:
                text = f"inner fold {number}: {len(shared)} patients are in train and val"
                findings.append(Finding(LEAK, "inner_patients_in_both", text, k, len(shared), _examples(shared)))
            if evaluated:
                text = f"inner fold {number}: the epoch is chosen with {len(evaluated)} evaluation patients of the fold"
                findings.append(Finding(LEAK, "inner_evaluated", text, k, len(evaluated), _examples(evaluated)))
    for number, of_part in enumerate(records):
        validation = [unseen_by(fold, part) for fold, part in zip(folds, inner[number], strict=True)]
        findings += _gene_labels(f"genes of inner fold {number}", validation, of_part)
    return findings


def audit_protocol(protocol: Mapping[str, object]) -> list[Finding]:
    """Findings that follow from the protocol's keys alone, as far as it has them."""
    findings = []
    if protocol.get("epoch") in ON_EVALUATION:
        chosen = "that of the least loss" if protocol["epoch"] == "least_loss_on_evaluation" else "the best one"
        findings.append(Finding(LEAK, "epoch", f"the reported epoch of the probe is {chosen} on the evaluation fold"))
    if protocol.get("survival_bins") == "cohort":
        text = "survival bins were set with the outcomes of evaluation patients"
        findings.append(Finding(LEAK, "survival_bins", text))
    if protocol.get("few_shot_replacement"):
        text = "support sets are drawn with replacement: neither k slides nor k patients"
        findings.append(Finding(WARNING, "few_shot_replacement", text))
    if protocol.get("unit") == "slide":
        text = "the unit is the slide: patients with several slides count several times"
        findings.append(Finding(WARNING, "unit", text))
    if protocol.get("probe_features") == "resampled_dropout":
        text = "patches are drawn anew at each evaluation: two seeds give different results"
        findings.append(Finding(WARNING, "resampled", text))
    return findings


LIKE_Z_SCORES = 0.5  # share of genes with mean near 0 and deviation near 1 from which on a matrix is standardised


def audit_transductive(*, scaled_upstream: bool, like_z_scores: float = 0.0) -> list[Finding]:
    """An expression matrix that was scaled over a whole cohort before it reached us cannot be repaired.

    scaled_upstream: what the config says; like_z_scores: share of the cohort's genes that look standardised.
    """
    if not scaled_upstream and like_z_scores < LIKE_Z_SCORES:
        return []
    text = "expression was scaled over the whole cohort, evaluation patients included, before it came here"
    if not scaled_upstream:
        text = (
            "expression seems to have been scaled over the whole cohort before it came here: "
            f"{like_z_scores:.0%} of the genes have a mean near 0 and a deviation near 1"
        )
    return [Finding(WARNING, "transductive_expression", text)]


def leaks(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that break a claim of honesty."""
    return [finding for finding in findings if finding.level == LEAK]


def by_kind(findings: Sequence[Finding]) -> pd.DataFrame:
    """Counts of findings: level, kind, folds."""
    frame = pd.DataFrame([{"level": f.level, "kind": f.kind, "fold": f.fold} for f in findings])
    return frame.groupby(["level", "kind"], as_index=False).size() if len(frame) else frame
