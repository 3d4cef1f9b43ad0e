"""A matrix before it is converted: its units, its ids, its samples."""

import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.among_genes import refusal, told_by, warning
from mirrorflow.cohorts.other_samples import counted_types
from mirrorflow.cohorts.patients import has_label
from mirrorflow.config.protocols import SEES_LABELS
from mirrorflow.config.queries import encoders_of, sees_genes, selection_of
from mirrorflow.errors import MirrorflowError
from mirrorflow.expression.identifiers import SymbolMap
from mirrorflow.expression.units import ValueLook
from mirrorflow.steps.expression.matrix_files import read_probemap_file
from mirrorflow.steps.expression.matrix_look import MatrixLook, look_at_matrix

PROBEMAP = "gencode.v23.annotation.gene.probemap"
EVERY_S = 5.0


def matrix_of(source: Mapping[str, Any], most_values: float, names: Collection[str] = ()) -> MatrixLook:
    """What the matrix of a source holds, with progress on the terminal. names: ids whose values are kept.

    Raises MirrorflowError for what it must not hold.
    """
    return look_at_matrix(Path(source["matrix"]), source, most_values, Counting(source["matrix"]), names)


def clinical_lines(
    clinical: pd.DataFrame | None, columns: Mapping[str, str], look: MatrixLook, matrix: str
) -> Iterator[str]:
    """Columns of the clinical data among the genes; a problem where they tell label, outcome or site."""
    told = {} if clinical is None else told_by(clinical, columns, look.named)
    if said := refusal(told, matrix):
        yield f"PROBLEM: {said}"
    if said := warning(told, matrix):
        yield f"WARNING: {said}"


def unlabelled_line(config: Mapping[str, Any], cohort: Mapping[str, Any], frame: pd.DataFrame) -> Iterator[str]:
    """A choice of genes that looks at labels, where nobody has one. ``cohort``: its entry; ``frame``: who is in it."""
    if has_label(frame).any():
        return
    name = next(name for name, entry in config["cohorts"].items() if entry is cohort)
    chosen = {
        method: selection_of(config, method)["method"]
        for method, entry in config["methods"].items()
        if sees_genes(entry) and encoders_of(config, name, method)
    }
    if methods := [method for method, way in chosen.items() if way in SEES_LABELS]:
        yield (
            f"PROBLEM: nobody has a label, and the genes of {', '.join(methods)} are chosen by labels "
            f"(expression.selection.method: {chosen[methods[0]]}); give labels, or choose without: method: variance"
        )


class Counting:
    """Says every few seconds how many genes of a matrix were read: how many there are is told at its end alone."""

    def __init__(self, what: str) -> None:
        self.what, self.started = what, time.monotonic()
        self.said = self.started

    def __call__(self, genes: int) -> None:
        """``genes``: read so far."""
        now = time.monotonic()
        if now - self.said >= EVERY_S:
            self.said = now
            sys.stderr.write(f"{self.what}: {genes:,} genes read, {genes / (now - self.started):,.0f}/s\n")


def value_lines(name: str, source: Mapping[str, Any], look: MatrixLook) -> Iterator[str]:
    """Units of the values, kinds of samples, ids without symbols. name: of the source in the config."""
    yield look.values.line(name, source.get("transform", "none"))
    if told := counted_types(look.dropped):
        yield f"samples that are no primary tumours are left out of {source['matrix']}: {told}"
    yield from _id_lines(name, source, look.values)


def _id_lines(name: str, source: Mapping[str, Any], seen: ValueLook) -> Iterator[str]:
    if not seen.ensembl * 2 > seen.genes:
        return
    versions = f", {seen.versions} of them with a version, which a map does not need" if seen.versions else ""
    said = f"{seen.ensembl} of {seen.genes} ids are Ensembl's, such as {', '.join(seen.examples)}{versions}"
    if "probemap" not in source:
        yield (
            f"WARNING: {said}: without a map they have no symbols, as census and gene sets have them; name one: "
            f"expression.sources.{name}.probemap: {{download: {PROBEMAP}}} (genes), or a file with the columns id, gene"
        )
        return
    path = Path(source["probemap"])
    if not path.exists():
        return
    try:
        mapped = SymbolMap(read_probemap_file(path))
    except MirrorflowError as error:
        yield f"PROBLEM: {error}"
        return
    if mapped.symbols(seen.examples) == seen.examples:
        yield f"WARNING: {said}, and {path} has none of these: is it a map of other ids (transcripts, probes)?"
