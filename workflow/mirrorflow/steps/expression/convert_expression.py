"""Rule convert_expression: any expression matrix to ``<store>/expression/<source>/<cohort>.parquet``, streamed."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirrorflow.config.expression_settings import Source
from mirrorflow.config.fields import schema_of_field
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.identifiers import SymbolMap
from mirrorflow.expression.matrix import Matrix, require_no_infinity
from mirrorflow.expression.no_genes import LeftOut, is_no_gene, require_genes
from mirrorflow.expression.samples import SampleChoice, choose_samples
from mirrorflow.expression.scaling import looks_standardised
from mirrorflow.expression.transform import LOG2_CPM, NONE, totals_of, transformed
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.files import written_whole
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet
from mirrorflow.steps.expression.matrix_files import magic_of, opened_matrix, read_probemap_file
from mirrorflow.store.digest import canonical, digest, require_same_settings
from mirrorflow.store.expression import ExpressionWriter, read_names, stored_settings, write_sidecar
from mirrorflow.store.slide_sheet import read_slide_sheet

logger = logging.getLogger(__name__)

ORIENTATIONS = schema_of_field(Source, "orientation")["enum"]


@dataclass(frozen=True)
class Inputs:
    """The matrix, where it has one its map of ids to symbols, and what names the patients: the sheet of slides, or the
    clinical tables.
    """

    matrix: Path
    probemap: Path | None
    sheet: Path | None
    clinical: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The store's file; its record lies beside it."""

    parquet: Path


@dataclass(frozen=True)
class Params:
    """The sheet's columns by our names; the section `clinical` where it names the patients; orientation and kind of ids
    of the matrix.
    """

    columns: Mapping[str, str]
    clinical: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Convert the matrix for the patients who have slides; where those without count too, for all in the clinical
    tables.
    """
    if params.clinical is not None:
        patients = sorted(clinical_sheet(params.clinical)["patient"])
    else:
        patients = sorted({row.patient for row in read_slide_sheet(inputs.sheet or "", params.columns)})
    convert_expression(inputs.matrix, outputs.parquet, params.settings, probemap=inputs.probemap, patients=patients)
    write_plan(params.planned)


def convert_expression(
    matrix: Path,
    destination: Path,
    settings: Mapping[str, Any],
    *,
    probemap: Path | None = None,
    patients: Sequence[str] | None = None,
) -> None:
    """Write the expression of ``patients`` (all of the matrix when None) to ``destination``.

    settings: ``orientation`` (genes_by_samples, samples_by_genes), ``sample_ids`` (tcga, patient) and, where one is
    asked for, ``transform``. A
    destination made of the same matrix with the same settings is kept; one of other patients or of another
    matrix is made again.
    Raises InputError for what the matrix holds, SettingsMismatchError for a destination of other settings.
    """
    orientation = _orientation(settings)
    made_with = _identity(matrix, settings, probemap, patients)
    if _is_kept(destination, made_with):
        logger.info("%s: kept, made of the same matrix with the same settings", destination)
        if not Path(f"{destination}.json").exists():
            write_sidecar(destination)
    else:
        symbols = SymbolMap(read_probemap_file(probemap) if probemap else None)
        with opened_matrix(matrix, orientation, destination.parent) as source:
            choice = choose_samples(
                source.samples,
                sample_ids=settings.get("sample_ids", Source.sample_ids),
                patients=patients,
                where=str(matrix),
            )
            _write(source, choice, symbols, destination, made_with)
        write_sidecar(destination)


CONTENT = ("matrix", "matrix_sha256", "probemap_sha256", "patients")
"""What a file was made of; where that is new the file is made again. Other settings stop the run."""


LEFT_OUT = "rows_no_genes"
"""Of the settings that a file carries, so that it is told from one of a time when such rows were genes."""


def _is_kept(destination: Path, made_with: Mapping[str, Any]) -> bool:
    if not destination.exists():
        return False
    stored = json.loads(stored_settings(destination))
    aside = (*CONTENT, LEFT_OUT)
    was, now = ({k: v for k, v in settings.items() if k not in aside} for settings in (stored, made_with))
    require_same_settings(str(destination), canonical(was), now)
    changed = [key for key in CONTENT if stored.get(key) != made_with.get(key)]
    if changed:
        logger.info("%s: made again, other %s", destination, ", ".join(changed))
        return False
    ids = read_names(destination)[1]
    require_genes(ids, str(destination))
    if any(map(is_no_gene, ids)):
        logger.info("%s: made again, some of its rows are no genes", destination)
        return False
    return True


def _orientation(settings: Mapping[str, Any]) -> str:
    orientation = settings.get("orientation", Source.orientation)
    if orientation not in ORIENTATIONS:
        message = f"expression.orientation: {orientation!r} is not one of {', '.join(ORIENTATIONS)}"
        raise ConfigError(message)
    return orientation


def _write(
    source: Matrix,
    choice: SampleChoice,
    symbols: SymbolMap,
    destination: Path,
    made_with: Mapping[str, Any],
) -> None:
    seen: set[str] = set()
    samples = [source.samples[position] for position in choice.positions]
    missing = like_z_scores = 0
    left_out = LeftOut()
    transform, where = made_with.get("transform", NONE), made_with["matrix"]
    totals = _totals(source, choice) if transform == LOG2_CPM else None
    with written_whole(destination) as temporary, ExpressionWriter(temporary, choice.patients) as writer:
        for rows, read in source.chunks(choice.positions):
            ids, values = left_out.genes_of(rows, read)
            require_genes(ids, where)
            require_new(ids, seen, where)
            require_no_infinity(ids, values, samples, where)
            values = transformed(values, ids, transform, totals, where)
            averaged = choice.average(values)
            missing += int(np.isnan(averaged).sum())
            like_z_scores += int(looks_standardised(averaged).sum())
            writer.add(ids, symbols.symbols(ids), averaged)
        if not seen:
            message = f"{made_with['matrix']}: no genes below (or beside) the header"
            raise InputError(message)
        counts = choice.counts() | {
            "genes": len(seen),
            "genes_without_symbol": symbols.unmapped,
            "values_missing": missing,
            "genes_like_z_scores": like_z_scores,
        }
        if left_out.count:
            counts |= {"rows_no_genes": left_out.count, "rows_no_genes_named": left_out.names}
        writer.finish(dict(made_with) | ({LEFT_OUT: left_out.count} if left_out.count else {}), counts)
    if left_out.count:
        logger.warning("%s: %d rows are no genes: %s", made_with["matrix"], left_out.count, ", ".join(left_out.names))
    logger.info("%s: %s", destination, counts)


def _totals(source: Matrix, choice: SampleChoice) -> NDArray[np.float64]:
    """Sums of the samples over their genes: counters of reads without a gene do not count."""
    return totals_of(LeftOut().genes_of(rows, read) for rows, read in source.chunks(choice.positions))


def require_new(ids: Sequence[str], seen: set[str], where: str) -> None:
    """Add ``ids`` to those ``seen``. Raises InputError for one that was there already."""
    before = len(seen)
    seen.update(ids)
    if len(seen) - before < len(ids):
        repeated = sorted({name for name in ids if ids.count(name) > 1}) or ["one of an earlier part"]
        message = (
            f"{where}: gene ids occur twice: {', '.join(repeated[:3])}; make them unique "
            "(genes are told apart by id, several ids may share a symbol through the probe map)"
        )
        raise InputError(message)


def _identity(
    matrix: Path, settings: Mapping[str, Any], probemap: Path | None, patients: Sequence[str] | None
) -> dict[str, Any]:
    """Everything the result depends on; content, not dates and not the file's place."""
    return dict(settings) | {
        "matrix": matrix.name,
        "matrix_sha256": _content(matrix),
        "probemap_sha256": _content(probemap) if probemap else None,
        "patients": None if patients is None else f"{len(set(patients))}: {digest({'of': sorted(set(patients))})}",
    }


def _content(path: Path) -> str:
    magic_of(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
