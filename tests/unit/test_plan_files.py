"""Size and date of what a user gave."""

import os
from pathlib import Path

import pytest

from mirrorflow.plan.files import ABSENT, features_state, file_state, given, is_users


def test_a_files_state_is_its_size_and_date(tmp_path: Path):
    path = tmp_path / "a"
    assert file_state(path) == ABSENT
    path.write_bytes(b"12")
    first = file_state(path)
    os.utime(path, ns=(5, 5))
    assert file_state(path) == "2-5" != first


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1.dcm").write_bytes(b"1")
    first = file_state(tmp_path / "dicom")
    (tmp_path / "dicom" / "1.dcm").write_bytes(b"12")
    assert file_state(tmp_path / "dicom") != first


def test_files_of_the_store_are_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.tsv").touch()
    assert list(given(["mine.tsv", "store/downloads/x/y.tsv"], "store")) == ["mine.tsv"]
    assert not is_users("store/a", "store")
    assert is_users("storehouse/a", "store")


def test_features_count_that_belong_to_the_slides(tmp_path: Path):
    for name in ("a.h5", "b.h5", "c.txt"):
        (tmp_path / name).write_bytes(b"1")
    of_a, of_all = features_state(str(tmp_path), ["a"]), features_state(str(tmp_path), None)
    (tmp_path / "b.h5").write_bytes(b"22")
    assert features_state(str(tmp_path), ["a"]) == of_a == features_state(str(tmp_path), ["a", "not-there"])
    assert features_state(str(tmp_path), None) != of_all
    assert features_state(str(tmp_path / "nowhere"), None) == ABSENT


def test_planning_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.h5").write_bytes(b"1")

    def refused(*_: object, **__: object) -> None:
        pytest.fail("a file was opened")

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(Path, "open", refused)
    assert features_state(str(tmp_path), ["a"]) != file_state(tmp_path / "a.h5")
