"""A cell that begins with a quote swallows no lines, in no reader; real quoted files are read as they are."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrorflow.errors import InputError
from mirrorflow.expression.census import CensusGene, parse_census
from mirrorflow.expression.closed_quotes import ClosedQuotes
from mirrorflow.expression.gene_sets import parse_gene_sets
from mirrorflow.expression.identifiers import read_probemap
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.store.expression import read_expression
from mirrorflow.store.gene_lists import curated_genes
from mirrorflow.store.ledger import read_rows
from mirrorflow.store.sheet_rows import slide_ids
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet
from mirrorflow.store.tables import read_text_sheet

OWN = {"orientation": "genes_by_samples", "sample_ids": "patient"}


def file(folder: Path, text: str, name: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def expression_of(path: Path, **settings: str) -> list[str]:
    destination = path.parent / "out.parquet"
    convert_expression(path, destination, OWN | settings)
    return read_expression(destination).ids


def overrides_of(path: Path) -> object:
    return read_rows(path, ["slide_id"])


def probemap_of(path: Path) -> object:
    return read_probemap(io.BytesIO(path.read_bytes()), str(path))


def census_of(path: Path) -> object:
    return parse_census(path.read_text(), where=str(path))


def sets_of(path: Path) -> object:
    return parse_gene_sets(path.read_text(), where=str(path))


def drivers_of(path: Path) -> object:
    return curated_genes({}, None, path, "brca", ["A"])


def samples_of(path: Path) -> object:
    return expression_of(path, orientation="samples_by_genes")


READERS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "patients": ("patients.tsv", 'patient\tlabel\tnote\nP1\ta\tx\nP2\tb\t"5 cm\nP3\ta\tx\n', read_text_sheet),
    "slides": ("slides.tsv", 'slide_id\tpatient\tnote\na\tP1\tx\nb\tP2\t"x\nc\tP3\tx\nd\tP4\ty"\n', read_slide_sheet),
    "overrides": ("mpp.tsv", 'slide_id\tmpp\tnote\na\t1\tx\nb\t1\t"x\nc\t1\tx\n', overrides_of),
    "matrix": ("m.tsv", 'id\tP1\tP2\ng1\t1\t2\n"g2\t1\t2\ng3\t1\t2\ng4"\t1\t2\n', expression_of),
    "samples by genes": ("m.tsv", 'id\tg1\tg2\nP1\t1\t2\n"P2\t1\t2\nP3\t1\t2\nP4"\t1\t2\n', samples_of),
    "probe map": ("map.tsv", 'id\tgene\ne1\tA\ne2\t"B\ne3\tC\ne4\tD"\n', probemap_of),
    "census": ("census.tsv", 'GENE_SYMBOL\tNAME\nA\tx\nB\t"x\nC\tx\n', census_of),
    "gene sets": ("sets.csv", 'One,Two\nA,B\nC,"D\nE,F"\n', sets_of),
    "drivers": ("drivers.tsv", 'cohort\tgene\nbrca\tA\nbrca\t"B\nbrca\tC\n', drivers_of),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_quote_that_would_swallow_lines_is_refused_with_its_line(tmp_path: Path, reader: str):
    name, text, read = READERS[reader]
    with pytest.raises(InputError, match=rf"{name}, line 3: .* does not close, so that it would swallow the lines"):
        read(file(tmp_path, text, name))


def test_a_quoted_line_break_of_a_spreadsheet_is_refused_at_its_first_line(tmp_path: Path):
    path = file(tmp_path, 'patient,label,note\nP1,a,"one\ntwo"\nP2,b,x\n', "patients.csv")
    with pytest.raises(InputError, match=r'line 2: the cell that begins with "one'):
        read_text_sheet(path)


def test_the_planner_takes_such_a_sheet_for_none(tmp_path: Path):
    """The job that reads it says what is wrong."""
    name, text, _ = READERS["slides"]
    assert slide_ids(str(file(tmp_path, text, name)), {}) is None


def test_quotes_that_swallow_cells_are_refused(tmp_path: Path):
    path = file(tmp_path, 'patient\tlabel\tsite\nP1\t"a\tb"\n', "patients.tsv")
    with pytest.raises(InputError, match=r"line 2: the cell 'a\\tb' is in quotes and holds a tab"):
        read_text_sheet(path)


def test_real_quoted_files_are_read(tmp_path: Path):
    sheet = read_text_sheet(file(tmp_path, 'patient,note\n"P1","a, ""b"""\nP2,5" wide\n', "patients.csv"))
    assert sheet.to_numpy().tolist() == [["P1", 'a, "b"'], ["P2", '5" wide']]
    slides = read_slide_sheet(file(tmp_path, '"slide_id","patient"\n"d","P2"\n', "s.csv"))
    assert slides == [SlideRow("d", "P2")]
    quoted = '"id","P1","P2"\n"g,1",1,2\n"g2","3","4"\n'
    assert expression_of(file(tmp_path, quoted, "m.csv")) == ["g,1", "g2"]
    census = 'Gene Symbol,Synonyms\nA,"B,C"\n'
    assert parse_census(census, where="x") == [CensusGene("A", ("B", "C"))]
    assert read_probemap(io.BytesIO(b'id\tgene\n"e1"\tA 5"\n'), "map") == {"e1": 'A 5"'}


def test_marks_that_are_no_line_breaks_are_part_of_a_cell(tmp_path: Path):
    text = "slide_id\tpatient\tnote\na\tP1\tx\u2028y\nb\tP2\tx\x0cy\n"
    assert [row.slide_id for row in read_slide_sheet(file(tmp_path, text, "slides.tsv"))] == ["a", "b"]
    assert slide_ids(str(tmp_path / "slides.tsv"), {}) == ["a", "b"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_watched_whatever_its_blocks(size: int):
    good = b'id,a\n"x",1\n\ny,2\r\n"z,""",3'
    stream = ClosedQuotes(io.BytesIO(good), ",", "m.csv")
    assert b"".join(iter(lambda: stream.read(size), b"")) == good
    bad = ClosedQuotes(io.BytesIO(b'id,a\nx,1\n\n"z,3'), ",", "m.csv")
    with pytest.raises(InputError, match=r"m\.csv, line 4"):
        list(iter(lambda: bad.read(size), b""))
