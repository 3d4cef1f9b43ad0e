"""Small sheets of a run: cohort, flow, splits, support sets."""

import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mirrorflow.cohorts.institutions import institution_names
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.cells import require_all_closed
from mirrorflow.config.datasets import fold_files
from mirrorflow.config.resources import institution_table
from mirrorflow.errors import InputError
from mirrorflow.expression.parquet_reading import reading_parquet
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.sheets import read_sheet, require_once
from mirrorflow.store.text_files import read_text_file

logger = logging.getLogger("mirrorflow.store.tables")


def read_text_sheet(path: str | Path) -> pd.DataFrame:
    """A TSV (or CSV by its ending) with every cell as text. Raises InputError when it cannot be one."""
    path = Path(path)
    separator = "," if path.name.removesuffix(".gz").lower().endswith(".csv") else "\t"
    text = read_text_file(path)
    require_all_closed(text, separator, str(path))
    try:
        # A short line's last cells come as NaN all the same.
        sheet = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False).fillna("")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        message = f"{path}: not readable as a sheet: {error}"
        raise InputError(message) from error
    if sheet.shape[1] < 2:
        expected = "commas" if separator == "," else "tabs"
        message = f"{path}: a single column {sheet.columns[0]!r}; columns must be separated by {expected}"
        raise InputError(message)
    if not isinstance(sheet.index, pd.RangeIndex):
        message = f"{path}: its lines have more cells than its header ({len(sheet.columns)} columns)"
        raise InputError(message)
    return sheet


def read_users_sheet(path: str | Path) -> tuple[pd.DataFrame, list[int], list[str]]:
    """A user's sheet with every cell as text, the line of each row, and what was recognised of how it is written.

    Of columns without a name the one that holds anything stays, as R writes names of rows: the config may name it "".
    Raises InputError as :func:`mirrorflow.store.sheets.read_sheet`, for a single column and for a column named twice.
    """
    sheet = read_sheet(path)
    header = sheet.header
    if len(header) < 2:
        message = f"{path}: a single column {header[0]!r}; columns must be separated by tabs, commas or semicolons"
        raise InputError(message)
    if long := next((number for number, cells in sheet.rows if any(cells[len(header) :])), None):
        message = f"{path}, line {long}: its lines have more cells than its header ({len(header)} columns)"
        raise InputError(message)
    require_once(header, path)
    width = len(header)
    rows = [[*cells[:width], *[""] * (width - len(cells))] for _, cells in sheet.rows]
    lines = [number for number, _ in sheet.rows]
    filled = [at for at, name in enumerate(header) if not name and any(row[at] for row in rows)]
    kept = [at for at, name in enumerate(header) if name or filled == [at]]
    said = [f"{path}: {what}" for what in sheet.said]
    if len(filled) > 1:
        line, cell = next((line, row[filled[0]]) for line, row in zip(lines, rows, strict=True) if row[filled[0]])
        said.append(f"{path}: {len(filled)} columns without a name are not read; line {line} has {cell!r} in the first")
    frame = pd.DataFrame([[row[at] for at in kept] for row in rows], columns=[header[at] for at in kept], dtype=str)
    return frame, lines, said


def read_institutions(named: str | Path) -> dict[str, str]:
    """Site code -> institution, from a sheet or, by the word ``tcga``, from the table that comes with mirrorflow."""
    table = institution_table(named)
    return institution_names(read_text_sheet(table), str(table))


def read_numbers(path: str | Path, numbers: Iterable[str]) -> pd.DataFrame:
    """As :func:`read_text_sheet`, with the columns ``numbers`` (those that are there) as numbers, NaN where empty."""
    sheet = read_text_sheet(path)
    return sheet.assign(**{name: pd.to_numeric(sheet[name]) for name in numbers if name in sheet})


def write_sheet(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a TSV (or CSV by its ending)."""
    with written_whole(path) as temporary:
        frame.to_csv(temporary, sep="," if str(path).endswith(".csv") else "\t", index=False)


def write_cohort(
    path: str | Path,
    frame: pd.DataFrame,
    classes: Sequence[str],
    endpoint: str = "",
    converted: Sequence[str] = (),
    institutions: Mapping[str, str] | None = None,
) -> None:
    """Write a cohort's frame; the list of classes, in order, goes into the metadata, and so does what its outcome is
    called where that is of one cause of death, what was converted where the sheets were read, and which site codes
    stand for the institutions that its sites are.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    said = {b"endpoint": endpoint.encode()} if endpoint else {}
    said |= {b"converted": json.dumps(list(converted)).encode()} if converted else {}
    said |= {b"institutions": json.dumps(dict(institutions)).encode()} if institutions else {}
    metadata = {**(table.schema.metadata or {}), b"classes": json.dumps(list(classes)).encode(), **said}
    with written_whole(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def read_cohort(path: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """A cohort's frame (``slide_ids`` as lists) and its classes in order. Raises InputError where it is damaged."""
    with reading_parquet(str(path), "delete it, the rule build_cohort makes it anew"):
        table = pq.read_table(path)
        frame = table.to_pandas()
    frame["slide_ids"] = [list(ids) for ids in frame["slide_ids"]]
    return frame, json.loads(table.schema.metadata[b"classes"])


def read_endpoint(path: str | Path) -> str:
    """What a cohort's cause-specific outcome is called (DSS); empty where its outcome is any other."""
    with reading_parquet(str(path), "delete it, the rule build_cohort makes it anew"):
        return (pq.read_schema(path).metadata or {}).get(b"endpoint", b"").decode()


def read_converted(path: str | Path) -> list[str]:
    """What was converted where the sheets of a cohort were read, a line each; empty where they were as expected."""
    with reading_parquet(str(path), "delete it, the rule build_cohort makes it anew"):
        return json.loads((pq.read_schema(path).metadata or {}).get(b"converted", b"[]"))


def read_site_codes(path: str | Path) -> dict[str, str]:
    """Site code -> institution, of the institutions among a cohort's sites; empty where a table named none."""
    with reading_parquet(str(path), "delete it, the rule build_cohort makes it anew"):
        return json.loads((pq.read_schema(path).metadata or {}).get(b"institutions", b"{}"))


def read_fold(path: str | Path) -> Fold:
    """A run's split file, as MIRROR publishes them: columns train and val of patients, of unequal length.

    Where it was made from files with a third part it says so: columns choice and unused (:class:`Fold`).

    Raises InputError naming the file when it is not there or lacks a column.
    """
    sheet = read_text_sheet(path)
    missing = {"train", "val"} - set(sheet)
    if missing:
        message = f"{path}: no column {', '.join(sorted(missing))}; a split file has the columns train and val"
        raise InputError(message)
    if "test" in sheet:
        message = (
            f"{path}: a column test; a run's own split files have none: run make_splits, which says who is evaluated"
        )
        raise InputError(message)
    further = {side: _once(_names_in(sheet, side)) for side in ("choice", "unused") if side in sheet}
    return Fold(_once(_names_in(sheet, "train")), _once(_names_in(sheet, "val")), **further)


def read_anyones_fold(path: str | Path) -> Fold:
    """A split file of anyone's: columns train, and val or test or both, of whatever names, as often as they are there.

    Raises InputError naming the file when it is not there or lacks a column.
    """
    sheet = read_text_sheet(path)
    if "train" not in sheet or not {"val", "test"} & set(sheet):
        message = f"{path}: columns {', '.join(sheet.columns)}; a split file has train, and val or test or both"
        raise InputError(message)
    return Fold(*(_names_in(sheet, side) if side in sheet else () for side in ("train", "val", "test")))


def _names_in(sheet: pd.DataFrame, side: str) -> tuple[str, ...]:
    return tuple(name for name in sheet[side].str.strip() if name)


def _once(names: Sequence[str]) -> tuple[str, ...]:
    """Each name once, in the order of their first row: a file with a row a slide names a patient several times."""
    return tuple(dict.fromkeys(names))


def _read_users_fold(path: Path) -> Fold:
    """A user's split file, each name once in a part; the log says where one stands in several rows."""
    written = read_anyones_fold(path)
    found = Fold(*map(_once, (written.train, written.val, written.test)))
    counts = {side: (len(names), len(found.parts[side])) for side, names in written.parts.items()}
    if repeated := [f"{side} {rows} rows, {names} names" for side, (rows, names) in counts.items() if rows > names]:
        logger.warning("%s: names stand in several rows (%s); each counts once", path, "; ".join(repeated))
    return found


def write_fold(path: str | Path, fold: Fold) -> None:
    """Write a split file as MIRROR publishes them; with test, choice and unused as columns where a fold has them."""
    said = {} if fold.choice is None else {"choice": fold.choice}
    parts = fold.parts | said | ({"unused": fold.unused} if fold.unused else {})
    write_sheet(path, pd.DataFrame({side: pd.Series(part, dtype=object) for side, part in parts.items()}))


def read_folds(folder: str | Path, count: int) -> list[Fold]:
    """The user's split files splits_0.csv ... of a folder, test parts too; or a file a side where ``folder`` says
    {fold} and {part}. Raises InputError when one is missing.
    """
    files = [[Path(path) for path in fold_files(str(folder), k)] for k in range(count)]
    missing = [path.name if len(part) == 1 else str(path) for part in files for path in part if not path.exists()]
    if missing:
        message = f"{folder}: no {', '.join(missing)}; set splits.folds to the number of split files there"
        raise InputError(message)
    return [_read_users_fold(*part) if len(part) == 1 else read_sides(*part) for part in files]


PATIENT_COLUMNS = ("case_id", "patient")


def read_sides(train: str | Path, test: str | Path) -> Fold:
    """A fold from a sheet a side, a row a slide, as MMP publishes them: the column case_id names patients.

    Raises InputError naming the file without such a column, or without a patient.
    """
    return Fold(_patients_in(train), _patients_in(test))


def _patients_in(path: str | Path) -> tuple[str, ...]:
    sheet = read_text_sheet(path)
    column = next((name for name in PATIENT_COLUMNS if name in sheet), None)
    if column is None:
        message = (
            f"{path}: no column {' or '.join(PATIENT_COLUMNS)}; a side of a fold names patients by one of them (the "
            f"file has {', '.join(sheet.columns[:8])})"
        )
        raise InputError(message)
    named = tuple(name for name in sheet[column].str.strip().drop_duplicates() if name)
    if not named:
        message = f"{path}: no patient in the column {column}"
        raise InputError(message)
    return named


def read_side_outcomes(train: str | Path, test: str | Path, outcome: str) -> pd.DataFrame:
    """Outcomes beside the patients of a fold's two sheets: patient, time_days, event (1: it came); empty without any.

    outcome: ``dss`` or ``os``: columns <outcome>_censorship (1 censored, 0 not) and <outcome>_survival_days. Raises
    InputError for a censorship that is neither 0 nor 1, and for a patient whose slides say two things.
    """
    wanted = {"time_days": f"{outcome}_survival_days", "censored": f"{outcome}_censorship"}
    parts = []
    for path in (train, test):
        sheet = read_text_sheet(path)
        if not set(wanted.values()) <= set(sheet):
            return pd.DataFrame(columns=["patient", "time_days", "event"])
        numbers = {ours: pd.to_numeric(sheet[theirs], errors="coerce") for ours, theirs in wanted.items()}
        named = next(name for name in PATIENT_COLUMNS if name in sheet)
        rows = pd.DataFrame({"patient": sheet[named].str.strip(), **numbers}).dropna().drop_duplicates()
        if len(wrong := rows[~rows["censored"].isin([0, 1])]):
            first = wrong.iloc[0]
            message = f"{path}: {wanted['censored']} of {first['patient']} is {first['censored']:g}: 1 censored, 0 not"
            raise InputError(message)
        if len(twice := rows.loc[rows["patient"].duplicated(), "patient"]):
            message = f"{path}: slides of {twice.iloc[0]} differ in {' or '.join(wanted.values())}; keep one outcome"
            raise InputError(message)
        parts.append(rows)
    whole = pd.concat(parts, ignore_index=True).drop_duplicates("patient")
    return whole.assign(event=1 - whole["censored"])[["patient", "time_days", "event"]]
