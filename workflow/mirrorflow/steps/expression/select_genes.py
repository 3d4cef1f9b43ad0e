"""Rule select_genes: the genes of one fold, a method's choice on training patients, joined with curated genes."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.cohorts.patients import who_has
from mirrorflow.cohorts.splits import selection_patients
from mirrorflow.config import versions
from mirrorflow.config.expression_settings import Selection
from mirrorflow.config.fields import schema_of_field
from mirrorflow.config.protocols import SEES_LABELS
from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.gene_sets import parse_gene_sets
from mirrorflow.expression.scaling import RnaScaler, looks_standardised
from mirrorflow.expression.selection import (
    Choice,
    NoOptimumError,
    by_elimination,
    by_gene_sets,
    by_univariate_f,
    by_variance,
    everything,
    gene_table,
)
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.runtime.job import Job
from mirrorflow.store.digest import digest
from mirrorflow.store.expression import read_expression, read_names
from mirrorflow.store.expression import read_record as read_expression_record
from mirrorflow.store.gene_lists import curated_genes, read_list
from mirrorflow.store.genes import described, is_finished, read_genes, read_record, restore_genes, write_genes
from mirrorflow.store.tables import read_cohort, read_fold

logger = logging.getLogger(__name__)

METHODS = schema_of_field(Selection, "method")["enum"]
SEES_VALUES = ("rfe", "univariate_f", "variance")
MOSTLY = 0.5
"""Share of genes that look like z-scores, above which the matrix is taken to be standardised."""


@dataclass(frozen=True)
class Inputs:
    """The cohort, the fold's split file, expression, census; the first fold's genes where one choice serves all."""

    cohort: Path
    split: Path
    expression: Path
    census: Path | None
    first: Path | None


@dataclass(frozen=True)
class Outputs:
    """The manifest; its sidecar lies beside it."""

    manifest: Path


@dataclass(frozen=True)
class Params:
    """The fold, whose labels may choose genes (``scope``), how they are chosen, and the seed."""

    fold: int
    scope: str
    settings: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class GeneFiles:
    """What genes are chosen from: expression, and the curated lists (drivers stand in for an absent census).

    sites: by patient, for elimination whose inner folds go by site.
    """

    expression: Path
    census: Path | None
    drivers: Path
    first: Path | None = None
    """Manifest of another fold, whose genes are taken over where it was made of the very same things."""
    sites: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a method looks at: patients, the labels of those who have one ("" for unknown), and their sites."""

    patients: list[str]
    labels: list[str]
    sites: list[str] = field(default_factory=list)
    """Where the method's folds go by site; else none is looked at."""

    def with_sites(self, sites: Mapping[str, str]) -> "Seen":
        """The same with the site of each patient ("" for unknown)."""
        return replace(self, sites=[_label(sites, patient) for patient in self.patients])


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Choose the genes with the labels that the protocol allows."""
    cohort = who_has(read_cohort(inputs.cohort)[0], ["rna"])
    sites = dict(zip(cohort["patient"], cohort["site"], strict=True))
    chosen_on = selection_patients(cohort, read_fold(inputs.split), params.scope, params.seed)
    select_genes(
        GeneFiles(inputs.expression, inputs.census, RESOURCES / "drivers.tsv", inputs.first, sites),
        [name for name in chosen_on if name in sites],
        dict(zip(cohort["patient"], cohort["label"], strict=True)),
        outputs.manifest,
        params.settings,
        fold=params.fold,
        seed=params.seed,
        threads=job.threads,
    )


def select_genes(
    files: GeneFiles,
    train_patients: Sequence[str],
    labels: Mapping[str, str],
    manifest: Path,
    settings: Mapping[str, Any],
    *,
    fold: int,
    seed: int,
    threads: int,
) -> None:
    """Write the manifest of ``fold`` and its sidecar; one made of the same things is kept, or comes from its copy.

    train_patients: the only patients that are looked at; labels: by patient, "" for unknown (such patients
    never meet a method that sees labels). settings: ``method``, ``n_genes``, ``census``, ``tumour_types``,
    ``tiers``, ``gene_sets``, ``rfe``, and ``scaling`` and ``clip`` of the values the method sees.
    Raises ConfigError and InputError with the fix.
    """
    method = settings.get("method", Selection.method)
    if method not in METHODS:
        message = f"expression.selection.method: {method!r} is not one of {', '.join(METHODS)}"
        raise ConfigError(message)
    seen = _seen(method, train_patients, labels)
    if method == "rfe" and (settings.get("rfe") or {}).get("cv_by") == "site":
        seen = seen.with_sites(files.sites)
    labels_of = seen.patients if method in SEES_LABELS else []
    made_with = _identity(files, seen, settings, fold, seed)
    if restore_genes(manifest, made_with):
        logger.info("%s: kept, made of the same patients, labels and settings", manifest)
        return
    first = files.first
    if first and is_finished(first, made_with | {"fold": read_record(first)["settings"]["fold"]}):
        write_genes(manifest, read_genes(first).assign(fold=fold), made_with, described(first))
        logger.info("%s: taken over from %s, made of the same patients, labels and settings", manifest, first)
        return
    choice = _choose(method, files.expression, seen, settings, seed, threads)
    _, ids, symbols = read_names(files.expression)
    cohort = ExpressionFile.parse(files.expression).cohort
    curated = curated_genes(settings, files.census, files.drivers, cohort, symbols)
    table = gene_table(choice, ids=ids, symbols=symbols, curated=curated.rows, curated_reason=curated.source)
    table = table.assign(fold=fold, labels_seen=len(labels_of))
    by_reason = {str(reason): int(count) for reason, count in table["reason"].value_counts().items()}
    record = {
        "method": method,
        "genes": len(table),
        "genes_by_reason": by_reason,
        "curated": curated.record,
        "selection": choice.details,
        "labels_seen": len(labels_of),
        "label_patients": labels_of,
        "outcome_patients": [],  # no method sees an outcome
        "value_patients": seen.patients if method in SEES_VALUES else [],
    }
    write_genes(manifest, table, made_with, record)
    logger.info("%s: %d genes %s", manifest, len(table), by_reason)


def _seen(method: str, train_patients: Sequence[str], labels: Mapping[str, str]) -> Seen:
    """Training patients the method looks at: labelled ones only where it sees labels."""
    known = {patient: _label(labels, patient) for patient in train_patients}
    if method not in SEES_LABELS:
        return Seen(list(train_patients), [known[patient] for patient in train_patients])
    labelled = [patient for patient in train_patients if known[patient]]
    if not labelled:
        message = (
            f"none of {len(train_patients)} training patients has a label, but expression.selection.method: {method} "
            "needs them; give labels in patients.tsv, or select without: method: variance"
        )
        raise InputError(message)
    return Seen(labelled, [known[patient] for patient in labelled])


def _label(labels: Mapping[str, str], patient: str) -> str:
    label = labels.get(patient, "")
    return "" if pd.isna(label) else str(label)


def _choose(method: str, expression: Path, seen: Seen, settings: Mapping[str, Any], seed: int, threads: int) -> Choice:
    _, ids, symbols = read_names(expression)
    if method == "none":
        return everything(len(ids))
    if method in ("families", "pathways"):
        return by_gene_sets(symbols, _gene_sets(settings, method), reason=method)
    values = _values(expression, seen.patients)
    if method == "variance":
        _warn_of_one_spread(expression, values)
        centred = _scaled(values, settings, spread_kept=True)
        return by_variance(centred, ids=ids, n_genes=_n_genes(settings, method))
    values = _scaled(values, settings)
    if method == "univariate_f":
        return by_univariate_f(values, seen.labels, ids=ids, n_genes=_n_genes(settings, method))
    common: dict[str, Any] = {"ids": ids, "patients": seen.patients, "sites": seen.sites}
    rfe = settings.get("rfe") or {}
    try:
        return by_elimination(values, seen.labels, settings=rfe, seed=seed, threads=threads, **common)
    except NoOptimumError as error:
        message = f"{expression}: {error}"
        raise InputError(message) from error


def _values(expression: Path, patients: Sequence[str]) -> NDArray[np.float32]:
    """Of these patients [patient, gene], as they are. Raises InputError where one is infinite."""
    values = read_expression(expression, patients).values
    if np.isinf(values).any():
        patient, gene = np.argwhere(np.isinf(values))[0]
        _, ids, _ = read_names(expression)
        message = f"{expression}: patient {patients[patient]}, gene {ids[gene]}: the value is infinite; fix the matrix"
        raise InputError(message)
    return values


def _scaled(
    values: NDArray[np.float32], settings: Mapping[str, Any], *, spread_kept: bool = False
) -> NDArray[np.float32]:
    """What the method sees [patient, gene]: scaled, clipped and imputed as the settings say.

    By default as published: values as they are, NaN as 0. spread_kept: where they are scaled, the mean is taken off and
    nothing is divided, since every gene would have the same variance.
    """
    scaler = RnaScaler.fit(values, scaling=settings.get("scaling", "none"), clip=settings.get("clip"))
    if spread_kept:
        scaler = replace(scaler, scale=np.ones_like(scaler.scale))
    return scaler.transform(values)


def _warn_of_one_spread(expression: Path, values: NDArray[np.float32]) -> None:
    """Say where the largest variance chooses by chance."""
    alike = float(looks_standardised(values.T).mean())
    if alike > MOSTLY:
        logger.warning(
            "%s: %.0f %% of its genes look like z-scores, whose variances say nothing of them: method variance chooses "
            "by chance; give a matrix that is not standardised, or choose genes by labels or gene sets",
            expression,
            100 * alike,
        )


def _gene_sets(settings: Mapping[str, Any], method: str) -> dict[str, list[str]]:
    path = settings.get("gene_sets")
    if not path:
        message = f"expression.selection.gene_sets: method {method} needs a CSV of gene sets (one column a set)"
        raise ConfigError(message)
    return parse_gene_sets(read_list(Path(path), "expression.selection.gene_sets"), where=str(path))


def _n_genes(settings: Mapping[str, Any], method: str) -> int:
    n_genes = settings.get("n_genes")
    if not n_genes:
        message = f"expression.selection.n_genes: method {method} needs a number of genes"
        raise ConfigError(message)
    return int(n_genes)


def _identity(files: GeneFiles, seen: Seen, settings: Mapping[str, Any], fold: int, seed: int) -> dict[str, Any]:
    """Everything the manifest depends on, by content."""
    known = dict(zip(seen.patients, seen.labels, strict=True))
    sees_labels = settings.get("method", Selection.method) in SEES_LABELS
    curated = settings.get("census", "auto") is not False
    gene_sets = settings.get("gene_sets")
    return dict(settings) | {
        "fold": fold,
        "seed": seed,
        "algorithm": versions.SELECTION,
        "expression": read_expression_record(files.expression)["digest"],
        "patients": digest({"in_order": list(known)}),
        "labels": digest(known) if sees_labels else None,
        **({"sites": digest(dict(zip(seen.patients, seen.sites, strict=True)))} if seen.sites else {}),
        "census_file": _content(files.census) if files.census and curated else None,
        "drivers_file": _content(files.drivers) if not files.census and curated else None,
        "gene_sets_file": _content(Path(gene_sets)) if gene_sets else None,
    }


def _content(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None
