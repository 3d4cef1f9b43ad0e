"""The conda environment and the lock name the same versions of the same packages."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)


def locked() -> dict[str, str]:
    """Pins for Python 3.11: the lock names these first where later versions of Python differ."""
    pins: dict[str, str] = {}
    for match in PIN.finditer((ROOT / "requirements.lock").read_text()):
        pins.setdefault(match["name"], match["version"])
    return pins


def direct() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[^A-Za-z0-9-]", name, maxsplit=1)[0].lower() for name in project["dependencies"]}


def test_conda_environment_has_the_lock_s_pins() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "mirrorflow.yaml").read_text())
    pins = dict(pin.split("==") for pin in environment["dependencies"][-1]["pip"])
    assert set(pins) == direct()
    assert pins == {name: locked()[name] for name in pins}


def test_the_lock_names_no_index_and_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pinned = [match["name"] for match in PIN.finditer(text)]
    assert len(pinned) > 100
    assert text.count("--hash=sha256:") >= len(pinned)
