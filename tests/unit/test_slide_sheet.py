"""The sheet of slides, row by row."""

from pathlib import Path

import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet, shard_of, slide_sheet_said


def sheet(folder: Path, text: str, name: str = "slides.tsv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_full_sheet(tmp_path: Path):
    path = sheet(
        tmp_path,
        "slide_id\tpatient\tpath\tmpp\tsegmentation.pen\tsegmentation.threshold\tnote\n"
        "a\tP1\tscans/a.svs\t0.25\tfalse\t20\tfoo\n"
        "\n"
        "b\tP1\t/data/b.svs\t\t\t\t\n",
    )
    assert read_slide_sheet(path) == [
        SlideRow("a", "P1", tmp_path / "scans/a.svs", 0.25, {"pen": False, "threshold": 20}),
        SlideRow("b", "P1", Path("/data/b.svs")),
    ]


def test_an_unknown_mpp_is_none(tmp_path: Path):
    path = sheet(tmp_path, "slide_id\tpatient\tmpp\na\tP1\tNA\n")
    assert read_slide_sheet(path) == [SlideRow("a", "P1")]


def test_other_names_and_no_path(tmp_path: Path):
    path = sheet(tmp_path, "\ufeffslide_id,case_id\na,P1\n", "slides.csv")
    assert read_slide_sheet(path, {"patient": "case_id"}) == [SlideRow("a", "P1")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tP1", "line 3: 2 cells where the header has 4"),
        ("\tP1\tx\t", "line 3: slide_id is empty"),
        ("a\t\tx\t", "line 3: patient is empty"),
        ("a\tNot Reported\tx\t", "line 3: patient is 'Not Reported': no name"),
        ("../a\tP1\tx\t", "line 3: slide_id '../a' cannot be a file name"),
        ("ok\tP1\tx\t", "line 3: slide_id 'ok' is there twice"),
        ("a\tP1\tx\t40", "line 3: mpp '40' is not between"),
        ("a\tP1\tx\tabc", "line 3: mpp 'abc'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str):
    path = sheet(tmp_path, f"slide_id\tpatient\tpath\tmpp\nok\tP0\tx\t\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_slide_sheet(path)


def test_all_bad_lines_are_named_at_once(tmp_path: Path):
    path = sheet(tmp_path, "slide_id\tpatient\n" + "\t\n" + "".join(f"s{i}/\tP\n" for i in range(12)))
    with pytest.raises(InputError) as caught:
        read_slide_sheet(path)
    assert "line 3" in str(caught.value)
    assert "line 12" in str(caught.value)
    assert "2 more lines" in str(caught.value)


def test_an_unknown_override(tmp_path: Path):
    path = sheet(tmp_path, "slide_id\tpatient\tsegmentation.pens\na\tP\ttrue\n")
    with pytest.raises(InputError, match="unknown pens"):
        read_slide_sheet(path)


def test_an_override_of_the_wrong_type(tmp_path: Path):
    path = sheet(tmp_path, "slide_id\tpatient\tsegmentation.pen\na\tP\tperhaps\n")
    with pytest.raises(InputError, match=r"line 2.*'perhaps' is neither"):
        read_slide_sheet(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("slide_id\tpatient\n", "no slides"),
        ("slide_id patient\na b\n", "is the delimiter a tab"),
        ("slide\tpatient\na\tb\n", "no column slide_id; it has slide, patient"),
        ("slide_id\tpatient\tnote\tpatient\ns1\tA\t\tB\n", "columns named twice: patient; rename one of each"),
    ],
)
def test_bad_sheets(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        read_slide_sheet(sheet(tmp_path, text))


def test_columns_without_a_name_are_not_read(tmp_path: Path):
    path = sheet(tmp_path, "\tslide_id\tpatient\t\n1\ta\tP1\t\n")
    assert read_slide_sheet(path) == [SlideRow("a", "P1")]


def test_a_mapped_column_must_be_there(tmp_path: Path):
    path = sheet(tmp_path, "slide_id\tpatient\na\tb\n")
    with pytest.raises(InputError, match="no column um_per_px"):
        read_slide_sheet(path, {"mpp": "um_per_px"})
    with pytest.raises(ConfigError, match="unknown file"):
        read_slide_sheet(path, {"file": "path"})


def test_a_missing_sheet(tmp_path: Path):
    with pytest.raises(InputError, match="no such sheet"):
        read_slide_sheet(tmp_path / "slides.tsv")


def test_shards_are_stable_and_even():
    assert [shard_of(f"slide{i}", 4) for i in range(6)] == [3, 1, 3, 1, 2, 0]
    counts = [0] * 4
    for i in range(400):
        counts[shard_of(f"TCGA-{i:04d}", 4)] += 1
    assert min(counts) > 60


def test_what_was_converted_is_counted(tmp_path: Path):
    path = sheet(tmp_path, "slide_id;patient;scale\na;P1;0,25\nb;P2;0.5\nc;P3;\nd;P4;0,499\n", "slides.csv")
    columns = {"mpp": "scale"}
    assert [row.mpp for row in read_slide_sheet(path, columns)] == [0.25, 0.5, None, 0.499]
    assert slide_sheet_said(path, columns) == [
        f"{path}: separated by semicolons",
        f"{path}: scale: 2 decimal commas read as points",
    ]
    assert slide_sheet_said(sheet(tmp_path, "slide_id\tpatient\na\tP1\n")) == []
    assert slide_sheet_said(tmp_path / "none.tsv") == []
