import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.runtime.files import check_file_name, clear_leftovers, write_text, written_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_the_block_ends_well(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with written_whole(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename across disks would not be atomic
    assert target.read_text() == "half"
    assert names(target.parent) == ["file.txt"]


def test_after_an_error_the_old_file_is_whole_and_nothing_else_left(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail() -> None:
        with written_whole(target) as temporary:
            temporary.write_text("half of the new")
            message = "stop"
            raise ValueError(message)

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupt() -> None:
        with written_whole(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert names(tmp_path) == []


def test_a_file_gets_its_name_by_a_rename(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    with written_whole(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
        inode = temporary.stat().st_ino
    assert (tmp_path / "file.txt").stat().st_ino == inode


def test_a_file_is_replaced_whole(tmp_path):
    write_text(tmp_path / "file.txt", "a long first text")
    write_text(tmp_path / "file.txt", "µm")
    assert (tmp_path / "file.txt").read_text(encoding="utf-8") == "µm"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_with_the_file_and_leaves_nothing(tmp_path, monkeypatch, number):
    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MirrorflowError, match=r"file\.txt: no space left on the disk; free some, then run again"):
        write_text(tmp_path / "file.txt", "text")
    assert names(tmp_path) == []


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path, monkeypatch):
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "file.txt", "text")
    assert names(tmp_path) == []


DIE_WHILE_WRITING = """
import os, signal, sys
from mirrorflow.runtime.files import written_whole
with written_whole(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_cleared(tmp_path):
    target = tmp_path / "file.txt"
    subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(target)], check=False, timeout=60)
    (left,) = names(tmp_path)
    assert left.startswith(".tmp-")
    clear_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_what_others_still_write_is_not_cleared(tmp_path):
    host = socket.gethostname()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(timeout=60)
    mine, gone = f".tmp-{os.getpid()}@{host}@a.h5", f".tmp-{dead.pid}@{host}@a.h5"
    elsewhere = f".tmp-{dead.pid}@node-of-another-name@a.h5"
    for name in (mine, gone, elsewhere, ".tmp-file-of-the-user", "data.h5"):
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == sorted([mine, elsewhere, ".tmp-file-of-the-user", "data.h5"])


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path):
    clear_leftovers(tmp_path / "nowhere")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF", "CMU-1-Small-Region", "slide 7", "a+b_c", "0"])
def test_names_that_can_be_files_are_returned(name):
    assert check_file_name(name, what="slide_id", where="slides.tsv, line 2") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " lead", ".hidden", "-rf", "a/b", "../a", "a..b", "/etc/passwd", "a\\b"),
        *('say "a"', "it's", "a;b", "$(reboot)", "`x`", "a|b", "a&b", "a*b", "a?b", "a\nb", "a\n", "a\tb", "a\0b"),
        *("~root", "a<b", "a>b", "a{b}", "é"),
    ],
)
def test_names_that_a_shell_or_a_disk_could_misread_are_refused(name):
    with pytest.raises(InputError, match=r"slides\.tsv, line 2: slide_id .* cannot be a file name; use letters"):
        check_file_name(name, what="slide_id", where="slides.tsv, line 2")
