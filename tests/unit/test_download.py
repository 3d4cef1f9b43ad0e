"""Downloads against a server on this machine that has mishaps."""

import contextlib
import errno
import fcntl
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_server import FileServer, Handler, answering, cut_after, serving
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.store.download import Expected, download, refuse_page
from mirrorflow.store.partial_file import PartialFile

DATA = bytes(range(256)) * 400
MD5 = hashlib.md5(DATA).hexdigest()
PAGE = b"<!DOCTYPE html><html><body>We are down for maintenance</body></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        running.files["/file"] = DATA
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ranges(server: FileServer) -> list[str]:
    return [headers.get("Range", "") for _, _, headers in server.requests]


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(server, tmp_path):
    target = tmp_path / "new" / "file"
    sha256 = hashlib.sha256(DATA).hexdigest()
    download(server.url + "/file", target, Expected(size=len(DATA), md5=MD5.upper(), sha256=sha256))
    assert target.read_bytes() == DATA
    assert names(target.parent) == ["file"]


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["/none"] = b""
    download(server.url + "/none", tmp_path / "none", Expected(size=0, md5=hashlib.md5(b"").hexdigest()))
    assert (tmp_path / "none").read_bytes() == b""


def test_a_cut_connection_goes_on_where_it_was(server, tmp_path, pauses):
    server.mishaps.extend([cut_after(30_000), cut_after(40_000)])
    download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA), md5=MD5), pause=pauses.append)
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges(server) == ["", "bytes=30000-", "bytes=70000-"]
    assert pauses == [1.0, 1.0]  # each attempt brought something


def test_what_an_earlier_process_left_is_gone_on_with(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA[:50_000])
    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5))
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges(server) == ["bytes=50000-"]
    assert names(tmp_path) == ["file"]


def test_a_part_that_is_complete_asks_for_nothing(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA)
    download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA), md5=MD5))
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.requests == []


def test_a_complete_part_of_unknown_size_is_known_by_status_416(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA)
    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5))
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges(server) == [f"bytes={len(DATA)}-"]


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_part_longer_than_the_file_begins_anew(server, tmp_path, pauses, size):
    (tmp_path / "file.part").write_bytes(DATA + b"more")
    download(server.url + "/file", tmp_path / "file", Expected(size=size, md5=MD5), pause=pauses.append)
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_part_of_another_file_is_found_by_the_checksum_and_begun_anew(server, tmp_path, pauses):
    (tmp_path / "file.part").write_bytes(b"x" * 50_000)
    download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA), md5=MD5), pause=pauses.append)
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges(server) == ["bytes=50000-", ""]


def test_without_a_checksum_a_part_of_unknown_origin_is_not_trusted(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 50_000)
    download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges(server) == [""]


def test_without_a_checksum_the_server_says_whether_the_file_is_the_same(server, tmp_path):
    server.mishaps.append(cut_after(30_000))
    with pytest.raises(InputError, match="ended after 30,000 of 102,400 bytes"):
        download(server.url + "/file", tmp_path / "file", attempts=1)
    download(server.url + "/file", tmp_path / "file")
    assert ranges(server) == ["", "bytes=30000-"]
    assert (tmp_path / "file").read_bytes() == DATA


def test_without_a_checksum_a_file_that_changed_meanwhile_begins_anew(server, tmp_path):
    server.mishaps.append(cut_after(30_000))
    with pytest.raises(InputError):
        download(server.url + "/file", tmp_path / "file", attempts=1)
    server.files["/file"] = DATA[::-1]
    download(server.url + "/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA[::-1]


def test_a_server_without_ranges_begins_anew_each_time_and_is_given_up_on(server, tmp_path, pauses):
    server.ranges = False
    server.mishaps.extend([cut_after(30_000)] * 3)
    with pytest.raises(InputError, match="ended after 30,000"):
        download(server.url + "/file", tmp_path / "file", Expected(md5=MD5), attempts=3, pause=pauses.append)
    server.mishaps.clear()
    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5))
    assert (tmp_path / "file").read_bytes() == DATA


def test_server_errors_are_tried_again_with_growing_pauses(server, tmp_path, pauses):
    server.mishaps.extend([answering(503, b"busy"), answering(500, b""), answering(429, b"", {"Retry-After": "7"})])
    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5), pause=pauses.append)
    assert (tmp_path / "file").read_bytes() == DATA
    assert pauses == [1.0, 2.0, 7.0]


def test_a_server_that_stays_broken_is_given_up_on_with_what_it_said(server, tmp_path, pauses):
    server.mishaps.extend([answering(503, b"upstream   connect\nerror")] * 3)
    with pytest.raises(InputError) as caught:
        download(server.url + "/file", tmp_path / "file", attempts=3, pause=pauses.append)
    message = str(caught.value)
    assert f"{server.url}/file: not downloaded: status 503" in message
    assert "upstream connect error" in message
    assert f"put the file at {tmp_path / 'file'} yourself" in message
    assert not (tmp_path / "file").exists()
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_will_not_pass_by_itself_is_not_tried_again(server, tmp_path, pauses, status):
    server.mishaps.append(answering(status, b'{"message": "no"}'))
    with pytest.raises(InputError, match=rf"status {status}.*no"):
        download(server.url + "/file", tmp_path / "file", pause=pauses.append)
    assert pauses == []


def test_nobody_listening_is_said(tmp_path, pauses, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as gone:
        url = gone.url
    with pytest.raises(InputError, match="refused"):
        download(url + "/file", tmp_path / "file", attempts=2, pause=pauses.append)
    assert pauses == [1.0]


def test_a_wrong_checksum_is_tried_once_more_and_never_named_as_the_file(server, tmp_path, pauses):
    with pytest.raises(InputError, match=f"md5 of the 102,400 bytes is {MD5}, not {'0' * 32}"):
        download(server.url + "/file", tmp_path / "file", Expected(md5="0" * 32), pause=pauses.append)
    assert len(server.requests) == 2
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 0


def test_a_page_with_status_200_is_refused_and_what_was_there_is_kept(server, tmp_path, pauses):
    (tmp_path / "file.part").write_bytes(DATA[:50_000])
    server.mishaps.append(answering(200, PAGE))
    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5, refuse=refuse_page), pause=pauses.append)
    assert ranges(server) == ["bytes=50000-", "bytes=50000-"]
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_page_that_stays_is_shown(server, tmp_path, pauses):
    server.files["/file"] = PAGE
    with pytest.raises(InputError, match=r"an HTML page instead of the file: .*We are down for maintenance"):
        download(server.url + "/file", tmp_path / "file", Expected(refuse=refuse_page), pause=pauses.append)
    assert not (tmp_path / "file").exists()


def test_an_answer_of_another_size_is_refused_before_it_is_kept(server, tmp_path, pauses):
    server.files["/file"] = b"short"
    with pytest.raises(InputError, match="5 bytes where 102,400 are expected: short"):
        download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA)), attempts=2, pause=pauses.append)


@pytest.mark.parametrize(
    ("first", "refused"),
    [
        (PAGE, True),
        (b"\n <html>", True),
        (b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', True),
        (b'{"error": "x"}', True),
        (b"sample\tOS\n", False),
        (b"II*\x00\x08\x00", False),
        (b"\x1f\x8b\x08", False),
        (b"", False),
    ],
)
def test_pages_are_told_from_data(first, refused):
    assert bool(refuse_page(first)) is refused


def test_a_token_is_sent_but_not_to_others_and_not_logged(server, tmp_path, caplog, pauses):
    with serving() as other:
        other.files["/file"] = DATA
        server.mishaps.append(answering(503, b""))
        server.mishaps.append(answering(302, b"", {"Location": other.url + "/file"}))
        with caplog.at_level(logging.DEBUG):
            download(server.url + "/file", tmp_path / "file", headers={"X-Auth-Token": "secret"}, pause=pauses.append)
        assert all(headers.get("X-Auth-Token") == "secret" for _, _, headers in server.requests)
        assert "secret" not in str(other.requests)
    assert (tmp_path / "file").read_bytes() == DATA
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "data", ""])
def test_only_http_addresses_are_fetched(tmp_path, url):
    with pytest.raises(InputError, match="no address to download from"):
        download(url, tmp_path / "file")


def test_two_processes_do_not_write_one_file(server, tmp_path):
    with PartialFile(tmp_path / "file"), pytest.raises(InputError, match="another process is writing it"):
        download(server.url + "/file", tmp_path / "file")
    assert server.requests == []


def test_a_process_that_comes_late_leaves_the_finished_file_alone(server, tmp_path, monkeypatch):
    """It opened the part before the other gave it its name, and locked it after: its lock is on the target."""
    first, late = PartialFile(tmp_path / "file"), PartialFile(tmp_path / "file")
    lock = fcntl.flock

    def finish_first(stream: object, how: int) -> None:
        monkeypatch.setattr("mirrorflow.store.partial_file.fcntl.flock", lock)
        with first:
            first.append(DATA)
            first.finish()
        lock(stream, how)  # type: ignore[arg-type]

    monkeypatch.setattr("mirrorflow.store.partial_file.fcntl.flock", finish_first)
    with late:
        late.restart("x", None)
        assert late.size == 0
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("expected", [Expected(), Expected(size=len(DATA)), Expected(md5=MD5)])
def test_what_another_process_brings_meanwhile_is_taken(server, tmp_path, expected):
    other = PartialFile(tmp_path / "file").hold()

    def pause(_seconds: float) -> None:
        other.append(DATA)
        other.finish()
        other.__exit__()

    download(server.url + "/file", tmp_path / "file", expected, pause=pause, wait_s=10)
    assert server.requests == []
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == DATA


def test_what_another_process_brings_is_checked(server, tmp_path):
    other = PartialFile(tmp_path / "file").hold()

    def pause(_seconds: float) -> None:
        other.append(b"another file")
        other.finish()
        other.__exit__()

    download(server.url + "/file", tmp_path / "file", Expected(md5=MD5), pause=pause, wait_s=10)
    assert (tmp_path / "file").read_bytes() == DATA


def test_the_other_process_is_waited_for_so_long_and_no_longer(server, tmp_path, pauses):
    with PartialFile(tmp_path / "file"), pytest.raises(InputError, match="another process is writing it"):
        download(server.url + "/file", tmp_path / "file", pause=pauses.append, wait_s=5)
    assert pauses == [2.0, 2.0, 2.0]


def endless(handler: Handler, data: bytes) -> None:
    """More than the file, without saying how much: the connection's end is the body's."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(1000):
            handler.wfile.write(data)
            sent.append(len(data))
    handler.close_connection = True


sent: list[int] = []


def test_a_body_past_its_listed_size_is_not_read_to_its_end(server, tmp_path, pauses):
    server.mishaps.extend([endless, endless])
    sent.clear()
    with pytest.raises(InputError, match="sends more than the 102,400 bytes that are expected"):
        download(server.url + "/file", tmp_path / "file", Expected(size=len(DATA)), pause=pauses.append)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 0
    assert sum(sent) < 1000 * len(DATA)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1/file", "file:///etc/passwd", "data:text/plain,x"])
def test_redirects_to_other_than_http_are_not_followed(server, tmp_path, pauses, address):
    server.mishaps.append(answering(302, b"", {"Location": address}))
    with pytest.raises(InputError, match=r"not downloaded: status 302") as caught:
        download(server.url + "/file", tmp_path / "file", pause=pauses.append)
    assert pauses == []
    assert address.split(":")[0] in str(caught.value)


def test_a_full_disk_is_no_fault_of_the_network(server, tmp_path, monkeypatch, pauses):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("mirrorflow.store.partial_file.os.fsync", full)
    with pytest.raises(MirrorflowError, match="no space left on the disk"):
        download(server.url + "/file", tmp_path / "file", pause=pauses.append)
    assert pauses == []
    assert not (tmp_path / "file").exists()
