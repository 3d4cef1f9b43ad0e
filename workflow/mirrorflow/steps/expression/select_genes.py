"""The genes of one fold: a method's choice on training patients, joined with curated genes."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.config import versions
from mirrorflow.config.expression_settings import Selection
from mirrorflow.config.fields import schema_of_field
from mirrorflow.config.protocols import SEES_LABELS
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.gene_sets import parse_gene_sets
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.expression.selection import (
    Choice,
    by_elimination,
    by_gene_sets,
    by_univariate_f,
    by_variance,
    everything,
    gene_table,
)
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.store.digest import digest
from mirrorflow.store.expression import read_expression, read_names
from mirrorflow.store.expression import read_record as read_expression_record
from mirrorflow.store.gene_lists import curated_genes, read_list
from mirrorflow.store.genes import described, is_finished, read_genes, read_record, write_genes

logger = logging.getLogger(__name__)

METHODS = schema_of_field(Selection, "method")["enum"]
SEES_VALUES = ("rfe", "univariate_f", "variance")


def select_genes(
    expression: Path,
    train_patients: Sequence[str],
    labels: Mapping[str, str],
    manifest: Path,
    settings: Mapping[str, Any],
    *,
    fold: int,
    census: Path | None,
    drivers: Path,
    seed: int,
    threads: int,
    first: Path | None = None,
) -> None:
    """Write the manifest of ``fold`` and its sidecar; a manifest made of the same things is kept.

    train_patients: the only patients that are looked at; labels: by patient, "" for unknown (such patients
    never meet a method that sees labels). settings: ``method``, ``n_genes``, ``census``, ``tumour_types``,
    ``tiers``, ``gene_sets``, ``rfe``, and ``scaling`` and ``clip`` of the values the method sees.
    first: manifest of another fold, whose genes are taken over where it was made of the very same things.
    Raises ConfigError and InputError with the fix.
    """
    method = settings.get("method", Selection.method)
    if method not in METHODS:
        message = f"expression.selection.method: {method!r} is not one of {', '.join(METHODS)}"
        raise ConfigError(message)
    seen = _patients_seen(method, train_patients, labels)
    labels_of = [patient for patient in seen if method in SEES_LABELS]
    made_with = _identity(expression, seen, labels, settings, fold, census, drivers, seed)
    if is_finished(manifest, made_with):
        logger.info("%s: kept, made of the same patients, labels and settings", manifest)
        return
    if first and is_finished(first, made_with | {"fold": read_record(first)["settings"]["fold"]}):
        write_genes(manifest, read_genes(first).assign(fold=fold), made_with, described(first))
        logger.info("%s: taken over from %s, made of the same patients, labels and settings", manifest, first)
        return
    _, ids, symbols = read_names(expression)
    choice = _choose(method, expression, ids, symbols, seen, labels, settings, seed, threads)
    curated = curated_genes(settings, census, drivers, ExpressionFile.parse(expression).cohort, symbols)
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
        "value_patients": [patient for patient in seen if method in SEES_VALUES],
    }
    write_genes(manifest, table, made_with, record)
    logger.info("%s: %d genes %s", manifest, len(table), by_reason)


def _patients_seen(method: str, train_patients: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Training patients the method looks at: labelled ones only where it sees labels."""
    if method not in SEES_LABELS:
        return list(train_patients)
    labelled = [patient for patient in train_patients if _label(labels, patient)]
    if not labelled:
        message = (
            f"none of {len(train_patients)} training patients has a label, but expression.selection.method: {method} "
            "needs them; give labels in patients.tsv, or select without: method: variance"
        )
        raise InputError(message)
    return labelled


def _label(labels: Mapping[str, str], patient: str) -> str:
    label = labels.get(patient, "")
    return "" if pd.isna(label) else str(label)


def _choose(
    method: str,
    expression: Path,
    ids: Sequence[str],
    symbols: Sequence[str],
    patients: Sequence[str],
    labels: Mapping[str, str],
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
) -> Choice:
    if method == "none":
        return everything(len(ids))
    if method in ("families", "pathways"):
        return by_gene_sets(symbols, _gene_sets(settings, method), reason=method)
    values = _values(expression, patients, settings)
    if method == "variance":
        return by_variance(values, ids=ids, n_genes=_n_genes(settings, method))
    known = [_label(labels, patient) for patient in patients]
    if method == "univariate_f":
        return by_univariate_f(values, known, ids=ids, n_genes=_n_genes(settings, method))
    rfe = settings.get("rfe") or {}
    return by_elimination(values, known, ids=ids, patients=patients, settings=rfe, seed=seed, threads=threads)


def _values(expression: Path, patients: Sequence[str], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """What the method sees [patient, gene]: scaled, clipped and imputed as the settings say.

    By default as published: values as they are, NaN as 0.
    """
    values = read_expression(expression, patients).values
    if np.isinf(values).any():
        patient, gene = np.argwhere(np.isinf(values))[0]
        _, ids, _ = read_names(expression)
        message = f"{expression}: patient {patients[patient]}, gene {ids[gene]}: the value is infinite; fix the matrix"
        raise InputError(message)
    scaler = RnaScaler.fit(values, scaling=settings.get("scaling", "none"), clip=settings.get("clip"))
    return scaler.transform(values)


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


def _identity(
    expression: Path,
    patients: Sequence[str],
    labels: Mapping[str, str],
    settings: Mapping[str, Any],
    fold: int,
    census: Path | None,
    drivers: Path,
    seed: int,
) -> dict[str, Any]:
    """Everything the manifest depends on, by content."""
    seen = {patient: _label(labels, patient) for patient in patients}
    sees_labels = settings.get("method", Selection.method) in SEES_LABELS
    curated = settings.get("census", "auto") is not False
    gene_sets = settings.get("gene_sets")
    return dict(settings) | {
        "fold": fold,
        "seed": seed,
        "algorithm": versions.SELECTION,
        "expression": read_expression_record(expression)["digest"],
        "patients": digest({"in_order": list(seen)}),
        "labels": digest(seen) if sees_labels else None,
        "census_file": _content(census) if census and curated else None,
        "drivers_file": _content(drivers) if not census and curated else None,
        "gene_sets_file": _content(Path(gene_sets)) if gene_sets else None,
    }


def _content(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None
