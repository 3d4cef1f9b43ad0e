"""Rule convert_expression: any expression matrix to ``<store>/expression/<source>/<cohort>.parquet``, streamed."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mirrorflow.config.expression_settings import Source
from mirrorflow.config.fields import schema_of_field
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.identifiers import SymbolMap, read_probemap
from mirrorflow.expression.matrix import GenesBySamples, Matrix, SamplesByGenes, TextTable, damaged, require_no_infinity
from mirrorflow.expression.no_genes import LeftOut, is_no_gene
from mirrorflow.expression.parquet_matrix import FIX, ParquetGenesBySamples, ParquetSamplesByGenes, ParquetTable
from mirrorflow.expression.parquet_reading import reading_parquet
from mirrorflow.expression.samples import SampleChoice, choose_samples
from mirrorflow.expression.scaling import looks_standardised
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.files import written_whole
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet
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

    settings: ``orientation`` (genes_by_samples, samples_by_genes) and ``sample_ids`` (tcga, patient). A
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
        symbols = SymbolMap(_read_probemap(probemap) if probemap else None)
        with _opened(matrix, orientation, destination.parent) as source:
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
    elif any(map(is_no_gene, read_names(destination)[1])):
        logger.info("%s: made again, some of its rows are no genes", destination)
        return False
    return not changed


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
    with written_whole(destination) as temporary, ExpressionWriter(temporary, choice.patients) as writer:
        for rows, read in source.chunks(choice.positions):
            ids, values = left_out.genes_of(rows, read)
            _require_new(ids, seen, made_with["matrix"])
            require_no_infinity(ids, values, samples, made_with["matrix"])
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


def _require_new(ids: Sequence[str], seen: set[str], where: str) -> None:
    before = len(seen)
    seen.update(ids)
    if len(seen) - before < len(ids):
        repeated = sorted({name for name in ids if ids.count(name) > 1}) or ["one of an earlier part"]
        message = (
            f"{where}: gene ids occur twice: {', '.join(repeated[:3])}; make them unique "
            "(genes are told apart by id, several ids may share a symbol through the probe map)"
        )
        raise InputError(message)


@contextmanager
def _opened(matrix: Path, orientation: str, scratch_folder: Path) -> Iterator[Matrix]:
    """The matrix in whatever format it is; a scratch file on disk turns samples x genes around."""
    turned = orientation == "samples_by_genes"
    if _magic(matrix) == b"PAR1":
        with reading_parquet(str(matrix), FIX):
            opened = pq.ParquetFile(matrix)
        with opened as file:
            table = ParquetTable(file, str(matrix))
            yield ParquetSamplesByGenes(table) if turned else ParquetGenesBySamples(table)
        return
    text = TextTable(lambda: _stream(matrix), str(matrix))
    if not turned:
        yield GenesBySamples(text)
        return
    scratch_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch_folder) as scratch:
        yield SamplesByGenes(text, scratch)


def _magic(path: Path) -> bytes:
    if not path.is_file():
        what = "a folder; name the matrix in it" if path.is_dir() else "no such file; give the expression matrix"
        message = f"{path}: {what} in expression.sources.<name>.matrix"
        raise InputError(message)
    with path.open("rb") as stream:
        return stream.read(4)


def _stream(path: Path) -> pa.NativeFile:
    return pa.input_stream(str(path), compression="gzip" if _magic(path)[:2] == b"\x1f\x8b" else None)


def _read_probemap(path: Path) -> dict[str, str]:
    try:
        with _stream(path) as stream:
            return read_probemap(stream, str(path))
    except OSError as error:
        raise InputError(damaged(str(path), error)) from error


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
    _magic(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


@dataclass(frozen=True)
class MatrixLook:
    """Patients of a matrix, and of how many genes the values were looked at; ``whole``: of all."""

    patients: list[str]
    genes: int
    whole: bool


def look_at_matrix(matrix: Path, settings: Mapping[str, Any], most_values: float) -> MatrixLook:
    """What a matrix holds under ``settings`` (orientation, sample_ids): its patients, and values that a run could use.

    Values are read from the start until there are ``most_values``. Raises InputError as :func:`convert_expression`.
    """
    with tempfile.TemporaryDirectory() as scratch, _opened(matrix, settings["orientation"], Path(scratch)) as source:
        choice = choose_samples(source.samples, sample_ids=settings["sample_ids"], patients=None, where=str(matrix))
        samples, seen = [source.samples[position] for position in choice.positions], set[str]()
        left_out = LeftOut()
        for rows, read in source.chunks(choice.positions):
            ids, values = left_out.genes_of(rows, read)
            _require_new(ids, seen, str(matrix))
            require_no_infinity(ids, values, samples, str(matrix))
            if len(seen) * len(samples) >= most_values:
                return MatrixLook(choice.patients, len(seen), whole=False)
        return MatrixLook(choice.patients, len(seen), whole=True)
