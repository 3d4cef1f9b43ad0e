"""What of a sheet of slides counts: its rows, by shard; not its date, its order or its notes."""

from pathlib import Path

import pytest

from mirrorflow.store.sheet_rows import patients_digest, rows_digest, shard_digest, shard_of
from mirrorflow.store.slide_sheet import read_slide_sheet

SHARDS = 4
SLIDES = [f"slide-{i}" for i in range(20)]


def write(path: Path, slides: list[str], *, note: str = "", mpp: str = "") -> str:
    rows = [f"{slide}\tp-{slide[-1]}\t{slide}.svs\t{mpp}\t{note}\n" for slide in slides]
    path.write_text("slide_id\tpatient\tpath\tmpp\tnote\n" + "".join(rows))
    return str(path)


def digests(path: str) -> list[str | None]:
    return [shard_digest(path, {}, shard, SHARDS) for shard in range(SHARDS)]


def test_an_added_slide_changes_its_shard_alone(tmp_path: Path) -> None:
    before = digests(write(tmp_path / "one.tsv", SLIDES))
    after = digests(write(tmp_path / "two.tsv", [*SLIDES, "slide-new"]))
    changed = [shard for shard in range(SHARDS) if before[shard] != after[shard]]
    assert changed == [shard_of("slide-new", SHARDS)]


def test_order_and_columns_that_nothing_reads_do_not_count(tmp_path: Path) -> None:
    one = write(tmp_path / "one.tsv", SLIDES)
    other = write(tmp_path / "two.tsv", SLIDES[::-1], note="looked at by Ada")
    assert rows_digest(one, {}) == rows_digest(other, {})
    assert rows_digest(one, {}) != rows_digest(write(tmp_path / "three.tsv", SLIDES, mpp="0.25"), {})


def test_patients_are_those_of_the_mapped_column(tmp_path: Path) -> None:
    path = write(tmp_path / "slides.tsv", SLIDES)
    assert patients_digest(path, {}) == patients_digest(write(tmp_path / "more.tsv", [*SLIDES, "again-3"]), {})
    assert patients_digest(path, {}) != patients_digest(path, {"patient": "slide_id"})


def test_an_edited_sheet_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "slides.tsv", SLIDES)
    before = rows_digest(path, {})
    write(tmp_path / "slides.tsv", SLIDES[1:])
    assert rows_digest(path, {}) != before


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"slide_id\n", b"a\tb\n1\n"])
def test_a_sheet_that_is_none_stops_nothing_here(tmp_path: Path, content: bytes | None) -> None:
    """The job that reads it says what is wrong."""
    path = tmp_path / "slides.tsv"
    if content is not None:
        path.write_bytes(content)
    rows_digest(str(path), {})
    patients_digest(str(path), {})
    assert shard_digest(str(path), {}, 0, SHARDS) == shard_digest(str(path), {}, 0, SHARDS)


def test_shards_hold_the_slides_the_jobs_take(tmp_path: Path) -> None:
    """A job takes the rows of its shard; the digest of a shard without slides is that of no rows."""
    rows = read_slide_sheet(write(tmp_path / "slides.tsv", ["only"]))
    found = digests(str(tmp_path / "slides.tsv"))
    empty = {digest for shard, digest in enumerate(found) if shard != shard_of(rows[0].slide_id, SHARDS)}
    assert len(empty) == 1
    assert found[shard_of("only", SHARDS)] not in empty
