"""Lists and downloads of GDC against a server on this machine that speaks its interface."""

import csv
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_server import answering, cut_after
from gdc_server import Gdc, gdc_serving
from mirrorflow.errors import InputError
from mirrorflow.steps.slides import gdc_files as jobs
from mirrorflow.steps.slides.download_slides import download_shard
from mirrorflow.steps.slides.drop_slides import drop_shard, finished_in
from mirrorflow.steps.slides.gdc_files import restorer
from mirrorflow.steps.slides.query_gdc import gdc_sheet
from mirrorflow.store import gdc as store
from mirrorflow.store.gdc import query_slides, read_gdc_sheet
from mirrorflow.store.slide_sheet import read_slide_sheet

ALL = (0, 1)
DX = "TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF-D8FB-45CF-B4BD-C6B76294C291"


@pytest.fixture
def gdc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gdc]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("GDC_TOKEN", raising=False)
    # A default is bound when the function is defined.
    for function in (store.query_slides, store.fetch_slide):
        monkeypatch.setitem(function.__kwdefaults__, "pause", lambda _s: None)
    with gdc_serving(page=3) as running:
        yield running


def settings(gdc: Gdc, **changes: Any) -> dict[str, Any]:
    return {
        "projects": ["TCGA-X"],
        "experimental_strategy": "Diagnostic Slide",
        "limit": None,
        "exclude": [],
        "overrides": None,
        "endpoint": gdc.server.url,
    } | changes


def listed(gdc: Gdc, folder: Path, **changes: Any) -> Path:
    sheet = folder / "gdc" / "slides.tsv"
    gdc_sheet(sheet, settings(gdc, **changes))
    return sheet


def fetch(sheet: Path) -> list[dict[str, str]]:
    status = sheet.parent / "shards" / "0.tsv"
    download_shard(sheet, status, ALL)
    with status.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def files(sheet: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (sheet.parent / "files").glob("*")}


def test_the_list_comes_page_by_page_into_a_sheet_like_any_other(gdc, tmp_path):
    for number in range(8):
        gdc.add(f"TCGA-AA-000{number}-01Z-00-DX1.svs", bytes([number]) * 10, f"TCGA-AA-000{number}")
    gdc.add("other.svs", b"x", "TCGA-BB-0001", project="TCGA-Y")
    sheet = listed(gdc, tmp_path)
    rows = read_slide_sheet(sheet)
    assert [row.slide_id for row in rows] == [f"TCGA-AA-000{number}-01Z-00-DX1" for number in range(8)]
    assert rows[3].patient == "TCGA-AA-0003"
    assert rows[3].path == sheet.parent / "files" / "TCGA-AA-0003-01Z-00-DX1.svs"
    assert len(gdc.server.requests) == 3


def test_several_projects_are_one_cohort(gdc, tmp_path):
    gdc.add("a.svs", b"a", "P1")
    gdc.add("b.svs", b"b", "P2", project="TCGA-Y")
    assert len(read_gdc_sheet(listed(gdc, tmp_path, projects=["TCGA-X", "TCGA-Y"]))) == 2


def test_slides_arrive_under_their_ids(gdc, tmp_path):
    gdc.add(f"{DX}.svs", b"slide", "TCGA-3C-AALI")
    sheet = listed(gdc, tmp_path)
    assert fetch(sheet) == [{"slide_id": DX, "status": "fetched", "bytes": "5"}]
    assert files(sheet) == {f"{DX}.svs": b"slide"}


def test_what_is_there_is_not_fetched_again(gdc, tmp_path):
    gdc.add("a.svs", b"a", "P1")
    sheet = listed(gdc, tmp_path)
    fetch(sheet)
    before = gdc.downloads()
    assert [row["status"] for row in fetch(sheet)] == ["there"]
    assert gdc.downloads() == before


def test_a_shard_fetches_its_own(gdc, tmp_path):
    for number in range(6):
        gdc.add(f"s{number}.svs", b"x", f"P{number}")
    sheet = listed(gdc, tmp_path)
    for shard in (0, 1):
        download_shard(sheet, tmp_path / f"{shard}.tsv", (shard, 2))
        if shard == 0:
            assert 0 < len(files(sheet)) < 6
    assert len(files(sheet)) == 6
    assert len(gdc.downloads()) == 6


def test_cut_connections_server_errors_and_pages_are_got_over(gdc, tmp_path):
    data = bytes(range(256)) * 100
    gdc.add("a.svs", data, "P1")
    sheet = listed(gdc, tmp_path)
    page = b"<html>Service temporarily unavailable</html>"
    gdc.server.mishaps.extend([answering(502, b""), answering(200, page), cut_after(9_000), cut_after(5_000)])
    fetch(sheet)
    assert files(sheet) == {"a.svs": data}
    asked = [headers.get("Range") for verb, _, headers in gdc.server.requests if verb == "GET"]
    assert asked == [None, None, None, "bytes=9000-", "bytes=14000-"]


def test_a_part_of_an_earlier_attempt_is_gone_on_with(gdc, tmp_path):
    data = bytes(range(256)) * 100
    gdc.add("a.svs", data, "P1")
    sheet = listed(gdc, tmp_path)
    (sheet.parent / "files").mkdir()
    (sheet.parent / "files" / "a.svs.part").write_bytes(data[:20_000])
    fetch(sheet)
    assert files(sheet) == {"a.svs": data}
    assert gdc.server.requests[-1][2]["Range"] == "bytes=20000-"


def test_one_that_does_not_come_stops_no_other_and_is_named(gdc, tmp_path):
    gdc.add("a.svs", b"a", "P1", md5sum="0" * 32)
    gdc.add("b.svs", b"b", "P2")
    sheet = listed(gdc, tmp_path)
    with pytest.raises(InputError, match="1 slides were not downloaded; run again") as caught:
        fetch(sheet)
    assert "a: http://" in str(caught.value)
    assert "slides.gdc.exclude" in str(caught.value)
    assert files(sheet)["b.svs"] == b"b"
    assert not (sheet.parent / "files" / "a.svs").exists()
    assert not (sheet.parent / "shards" / "0.tsv").exists()
    assert [slide.slide_id for slide in read_gdc_sheet(listed(gdc, tmp_path, exclude=["a"]))] == ["b"]


@pytest.mark.parametrize(
    "name", ["../../evil.svs", "/etc/evil.svs", "..", "a/b.svs", "evil\n.svs", "", ".svs", "a\\b.svs"]
)
def test_no_name_leads_out_of_the_folder(gdc, tmp_path, name):
    hit = gdc.add(name, b"x", "P1")
    sheet = listed(gdc, tmp_path)
    fetch(sheet)
    assert read_slide_sheet(sheet)[0].slide_id == hit["file_id"]
    assert files(sheet) == {f"{hit['file_id']}.svs": b"x"}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"gdc/slides.tsv", "gdc/shards/0.tsv", f"gdc/files/{hit['file_id']}.svs"}


def test_a_name_that_is_there_twice_gives_way_to_the_id(gdc, tmp_path):
    hits = [gdc.add("a.svs", data, "P1") for data in (b"1", b"2")]
    sheet = listed(gdc, tmp_path)
    fetch(sheet)
    ids = {slide.slide_id for slide in read_gdc_sheet(sheet)}
    assert len(ids & {hit["file_id"] for hit in hits}) == 1
    assert sorted(files(sheet).values()) == [b"1", b"2"]


@pytest.mark.parametrize("path", ["../a.svs", "files/../../a.svs", "/tmp/a.svs", "files/", "a.svs"])
def test_an_edited_sheet_leads_nowhere_else(gdc, tmp_path, path):
    gdc.add("a.svs", b"a", "P1")
    sheet = listed(gdc, tmp_path)
    sheet.write_text(sheet.read_text().replace("files/a.svs", path))
    with pytest.raises(InputError, match="path"):
        fetch(sheet)


@pytest.mark.parametrize(
    "changes",
    [{"md5sum": "short"}, {"file_size": 0}, {"file_size": "many"}, {"file_id": "../x"}, {"cases": []}, {"cases": None}],
)
def test_odd_entries_are_refused_with_what_was_sent(gdc, tmp_path, changes):
    gdc.add("a.svs", b"a", "P1", **changes)
    with pytest.raises(InputError, match="an entry"):
        listed(gdc, tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>down</html>", "is not JSON"),
        (b'{"message": "internal"}', "not an answer of GDC's"),
        (b'{"data": {"hits": [], "pagination": {"total": 5}}}', "5 files were promised"),
        (b"[]", "not an answer of GDC's"),
    ],
)
def test_what_is_no_list_is_shown(gdc, tmp_path, body, message):
    gdc.server.mishaps.append(answering(200, body))
    with pytest.raises(InputError, match=message):
        listed(gdc, tmp_path)


def test_a_list_is_asked_for_again_after_a_server_error(gdc, tmp_path):
    gdc.add("a.svs", b"a", "P1")
    gdc.server.mishaps.extend([answering(503, b""), answering(500, b"")])
    assert len(read_gdc_sheet(listed(gdc, tmp_path))) == 1


def test_a_list_that_is_refused_says_why(gdc, tmp_path):
    gdc.server.mishaps.append(answering(400, b'{"message": "bad filter"}'))
    with pytest.raises(InputError, match=r"status 400.*bad filter"):
        listed(gdc, tmp_path)
    assert len(gdc.server.requests) == 1


def test_a_project_without_slides_is_named(gdc, tmp_path):
    gdc.add("a.svs", b"a", "P1")
    with pytest.raises(InputError, match="BRCA; projects are named"):
        listed(gdc, tmp_path, projects=["BRCA"])


def test_limit_exclude_and_overrides(gdc, tmp_path):
    hits = [gdc.add(f"{name}.svs", b"x", f"P{name}") for name in "abcd"]
    more = tmp_path / "more.tsv"
    more.write_text("slide_id\tmpp\tsegmentation.pen\nb\t0.25\tfalse\n")
    sheet = listed(gdc, tmp_path, limit=2, exclude=["a", hits[3]["file_id"]], overrides=str(more))
    rows = read_slide_sheet(sheet)
    assert [(row.slide_id, row.mpp, dict(row.overrides)) for row in rows] == [
        ("b", 0.25, {"pen": False}),
        ("c", None, {}),
    ]


def test_exclude_and_overrides_that_fit_nothing_are_named(gdc, tmp_path):
    gdc.add("a.svs", b"x", "P1")
    with pytest.raises(InputError, match="no slide or file zzz"):
        listed(gdc, tmp_path, exclude=["zzz"])
    more = tmp_path / "more.tsv"
    more.write_text("slide_id\tmpp\nzzz\t0.25\n")
    with pytest.raises(InputError, match="no slide zzz"):
        listed(gdc, tmp_path, overrides=str(more))
    more.write_text("slide_id\tmpp\na\t0.25\na\t0.5\n")
    with pytest.raises(InputError, match="slides named twice: a; keep one of the rows"):
        listed(gdc, tmp_path, overrides=str(more))
    more.write_text("slide_id\tpath\na\t/etc/passwd\n")
    with pytest.raises(InputError, match="no column mpp"):
        listed(gdc, tmp_path, overrides=str(more))


def made(folder: Path, *slide_ids: str) -> Any:
    """``finished`` of a cohort in which these slides have patches and features."""
    for slide_id in slide_ids:
        for kind in ("slides/patches", "features"):
            path = folder / kind / f"{slide_id}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return finished_in([str(folder / "slides")], [str(folder / "features")])


def test_slides_are_deleted_once_their_features_exist(gdc, tmp_path):
    for name in "ab":
        gdc.add(f"{name}.svs", b"x", f"P{name}")
    sheet = listed(gdc, tmp_path)
    fetch(sheet)
    (sheet.parent / "files" / "mine.txt").write_text("not GDC's")
    finished = made(tmp_path, "a")
    drop_shard(sheet, tmp_path / "record.tsv", ALL, finished)
    assert set(files(sheet)) == {"a.svs.deleted", "b.svs", "mine.txt"}  # b failed: its file is there to be looked at
    assert "a\tdeleted" in (tmp_path / "record.tsv").read_text()
    assert "b\tkept" in (tmp_path / "record.tsv").read_text()
    before = gdc.downloads()
    assert [row["status"] for row in fetch(sheet)] == ["deleted", "there"]
    assert gdc.downloads() == before


def test_patches_alone_are_not_features(gdc, tmp_path):
    gdc.add("a.svs", b"x", "P1")
    finished = made(tmp_path, "a")
    (tmp_path / "features" / "a.h5").unlink()
    assert not finished("a")


def test_a_deleted_slide_that_is_needed_after_all_is_fetched_again(gdc, tmp_path):
    for name in "ab":
        gdc.add(f"{name}.svs", name.encode(), f"P{name}")
    sheet = listed(gdc, tmp_path)
    fetch(sheet)
    drop_shard(sheet, tmp_path / "record.tsv", ALL, lambda slide_id: slide_id == "a")
    restorer(sheet)(read_slide_sheet(sheet))
    assert files(sheet) == {"a.svs": b"a", "b.svs": b"b"}
    assert len(gdc.downloads()) == 3


def test_a_sheet_of_ones_own_is_left_alone(tmp_path):
    sheet = tmp_path / "slides.tsv"
    sheet.write_text("slide_id\tpatient\tpath\na\tP\tgone.svs\n")
    assert restorer(sheet) is None


def test_the_token_comes_from_the_environment_and_stays_out_of_logs_and_files(gdc, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GDC_TOKEN", "very-secret\n")
    gdc.add("a.svs", b"x", "P1")
    gdc.add("b.svs", b"y", "P1", md5sum="0" * 32)
    with caplog.at_level(logging.DEBUG):
        sheet = listed(gdc, tmp_path)
        with pytest.raises(InputError) as caught:
            fetch(sheet)
    sent = [headers.get("X-Auth-Token") for verb, _, headers in gdc.server.requests if verb == "GET"]
    assert set(sent) == {"very-secret"}
    assert "very-secret" not in caplog.text + str(caught.value)
    assert all(b"very-secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_token_is_not_sent_in_the_clear(monkeypatch, tmp_path):
    monkeypatch.setenv("GDC_TOKEN", "very-secret")
    slide = store.GdcSlide("a", "P", "files/a.svs", "x", "0" * 32, 1, "http://mirror.example.org/data/x")
    with pytest.raises(InputError, match="not sent over plain http"):
        store.fetch_slide(slide, tmp_path)


def test_the_query_is_what_gdc_documents(gdc, tmp_path):
    gdc.add("a.svs", b"x", "P1")
    sent: list[Any] = []
    answer = gdc.server.posts["/files"]
    gdc.server.posts["/files"] = lambda body: (sent.append(body), answer(body))[1]
    query_slides(gdc.server.url + "/", ["TCGA-X"], "Diagnostic Slide")
    assert sent[0]["fields"].split(",") == ["file_id", "file_name", "file_size", "md5sum", "cases.submitter_id"]
    assert json.dumps(sent[0]["filters"]).count('"op": "in"') == 4
    assert jobs.STATUS_COLUMNS[0] == "slide_id"


@pytest.mark.parametrize(("code", "said"), [("06Z-00-DX1", "06 (metastasis) 1"), ("01A-01-TS1", "TS (frozen, top")])
def test_other_kinds_of_slides_are_refused_unless_declared(gdc, tmp_path, code, said):
    gdc.add("TCGA-AA-0001-01Z-00-DX1.svs", b"a", "TCGA-AA-0001")
    gdc.add(f"TCGA-AA-0002-{code}.svs", b"b", "TCGA-AA-0002")
    with pytest.raises(InputError, match=f"GDC's slides of TCGA-X: .*{re.escape(said)}") as caught:
        listed(gdc, tmp_path)
    assert not (tmp_path / "gdc/slides.tsv").exists()
    kind = "06" if code.startswith("06") else "TS"
    assert f'slides: {{mixed: ["{kind}"]}}' in str(caught.value)
    assert len(read_slide_sheet(listed(gdc, tmp_path, mixed=[kind]))) == 2
