"""The tool that installs the lock: what it hands from pip to uv, and that it does without uv."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import install

LISTED = """\
:env:.find-links='/more/wheels /wheels'
:env:.disable-pip-version-check='1'
global.cert='/etc/certificates.crt'
global.find-links='/elsewhere'
global.index-url='https://files.example/simple'
install.extra-index-url='file:///a/simple file:///b/simple'
"""
LOCK = r"""unit==1.0 ; marker \
    --hash=sha256:aa \
    --hash=sha256:bb
uv==2.0
uv-plus==3.0 \
    --hash=sha256:cc
"""


def test_pips_indexes_become_uvs():
    assert install.uv_settings(LISTED) == {
        "SSL_CERT_FILE": "/etc/certificates.crt",
        "UV_DEFAULT_INDEX": "https://files.example/simple",
        "UV_FIND_LINKS": "/more/wheels,/wheels",
        "UV_INDEX": "file:///a/simple file:///b/simple",
    }
    assert install.uv_settings("") == {}


def test_a_pin_is_its_version_with_its_hashes():
    assert install.pin_of("unit", LOCK) == LOCK[: LOCK.index("uv==")]
    assert install.pin_of("uv", LOCK) == "uv==2.0\n"
    with pytest.raises(ValueError, match="no other"):
        install.pin_of("other", LOCK)


def test_the_lock_pins_uv():
    assert "--hash=sha256:" in install.pin_of("uv", install.LOCK.read_text())


def test_uv_keeps_nothing_in_the_home_where_nobody_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    caches: list[Path] = []

    def run(command: list[object], **given: Any) -> subprocess.CompletedProcess[str]:
        if "uv" in command:
            caches.append(Path(given["env"][install.CACHE]))
            caches[-1].mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv(install.CACHE, raising=False)
    install.main()
    assert caches == [tmp_path / ".uv-cache"]
    assert not caches[0].exists()
    monkeypatch.setenv(install.CACHE, str(tmp_path / "own"))
    install.main()
    assert caches[1:] == [tmp_path / "own"]
    assert caches[1].exists()


@pytest.mark.parametrize("broken", ["nothing", "uv cannot be had", "uv fails"])
def test_pip_steps_in_where_uv_does_not_do(monkeypatch: pytest.MonkeyPatch, broken: str):
    ran: list[str] = []

    def run(command: list[object], **_: object) -> subprocess.CompletedProcess[str]:
        words = " ".join(map(str, command)).removeprefix(f"{sys.executable} -m ")
        named = {"uv.txt": "get uv", "-e": "package", "requirements.lock": "pip"}
        what = "uv" if words.startswith("uv") else next((named[part] for part in named if part in words), "")
        if what:
            ran.append(what)
        failed = {"uv cannot be had": "get uv", "uv fails": "uv"}.get(broken) == what
        return subprocess.CompletedProcess(command, int(failed), stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    install.main()
    expected = {
        "nothing": ["get uv", "uv", "package"],
        "uv cannot be had": ["get uv", "pip", "package"],
        "uv fails": ["get uv", "uv", "pip", "package"],
    }
    assert ran == expected[broken]
