"""The ledger: one row a slide over shards and encoders."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.steps.slides.write_ledger import contact_sheet, write_ledger
from mirrorflow.store.ledger import FEATURE_COLUMNS, LEDGER_COLUMNS, PATCH_COLUMNS, read_rows, write_rows
from mirrorflow.store.tables import read_text_sheet


def patched(slide: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    reason = "" if status == "ok" else f"because {slide}"
    return {"slide_id": slide, "patient": "p", "status": status, "reason": reason, "patches": 10, "seconds": 1} | more


def encoded(slide: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    reason = "" if status == "ok" else f"no features of {slide}"
    return {"slide_id": slide, "status": status, "reason": reason, "unreadable": 0, "seconds": 2} | more


@pytest.fixture
def ledger(tmp_path: Path) -> dict[str, dict[str, str]]:
    write_rows(tmp_path / "0.tsv", PATCH_COLUMNS, [patched("d"), patched("a"), patched("e", "failed", patches=0)])
    write_rows(tmp_path / "1.tsv", PATCH_COLUMNS, [patched("b", "no_tissue", patches=0), patched("c")])
    slides = [encoded("a"), encoded("b", "no_tissue"), encoded("d"), encoded("e", "failed")]
    write_rows(tmp_path / "x.tsv", FEATURE_COLUMNS, [*slides, encoded("c", unreadable=1, reason="1 of 10 lost")])
    write_rows(tmp_path / "y.tsv", FEATURE_COLUMNS, [encoded("c", unreadable=2), encoded("d", "failed", unreadable=9)])
    path = tmp_path / "ledger.tsv"
    write_ledger([tmp_path / "0.tsv", tmp_path / "1.tsv"], {"x": [tmp_path / "x.tsv"], "y": [tmp_path / "y.tsv"]}, path)
    return {row["slide_id"]: row for row in read_rows(path, LEDGER_COLUMNS)}


def test_every_slide_is_there_once_in_order(ledger: dict[str, dict[str, str]]):
    assert list(ledger) == ["a", "b", "c", "d", "e"]


def test_the_worst_status_counts(ledger: dict[str, dict[str, str]]):
    assert [row["status"] for row in ledger.values()] == ["ok", "no_tissue", "ok", "failed", "failed"]


def test_reasons_name_the_encoder(ledger: dict[str, dict[str, str]]):
    reasons = [row["reason"] for row in ledger.values()]
    assert reasons == ["", "because b", "x: 1 of 10 lost", "y: no features of d", "because e"]


def test_what_is_lost_is_subtracted(ledger: dict[str, dict[str, str]]):
    assert [(row["patches"], row["unreadable"]) for row in ledger.values()] == [
        ("10", "0"),
        ("0", "0"),
        ("8", "2"),
        ("1", "9"),
        ("0", "0"),
    ]


@pytest.mark.parametrize(
    "name", ["山田　太郎", "Doe  John", "特徴　量/a.h5", "form\x0cfeed", "next\x85line", "\u2028mark"]
)
def test_blanks_of_names_stay(tmp_path: Path, name: str):
    """Else no sheet has that patient, and no disk that file. Both readers see the same."""
    write_rows(tmp_path / "a.tsv", ("patient", "reason"), [{"patient": name, "reason": "two\n  lines,\ta tab\r\n"}])
    expected = {"patient": name, "reason": "two lines, a tab"}
    assert read_rows(tmp_path / "a.tsv", ("patient", "reason")) == [expected]
    assert read_text_sheet(tmp_path / "a.tsv").to_dict("records") == [expected]


def test_a_slide_in_two_shards(tmp_path: Path):
    for name in "01":
        write_rows(tmp_path / f"{name}.tsv", PATCH_COLUMNS, [patched("a")])
    with pytest.raises(InputError, match="slide a is in another shard"):
        write_ledger([tmp_path / "0.tsv", tmp_path / "1.tsv"], {}, tmp_path / "ledger.tsv")


def test_cells_stay_in_their_line(tmp_path: Path):
    write_rows(tmp_path / "a.tsv", PATCH_COLUMNS, [patched("a", "failed", reason='two\nlines\tand a "quote"')])
    assert read_rows(tmp_path / "a.tsv", PATCH_COLUMNS)[0]["reason"] == 'two lines and a "quote"'


def test_contact_sheet_shows_the_bad_ones_first(tmp_path: Path, ledger: dict[str, dict[str, str]]):
    (tmp_path / "overlays").mkdir()
    for slide in "abcd":
        cv2.imwrite(str(tmp_path / f"overlays/{slide}.jpg"), np.full((40, 60, 3), (200, 80, 30), np.uint8))
    contact_sheet(tmp_path, tmp_path / "ledger.tsv", tmp_path / "sheet.jpg")
    sheet = cv2.imread(str(tmp_path / "sheet.jpg")).astype(int)
    middles = [sheet[6 + 80, 6 + 166 * column + 80] for column in range(5)]
    blue = [bool(abs(middle - (200, 80, 30)).max() < 12) for middle in middles]
    assert blue == [True, False, True, True, True]  # d failed, e failed without picture, b, then a and c
    assert sheet.shape[1] == 6 + 5 * 166
