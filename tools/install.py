"""Install what requirements.lock names into this interpreter's environment: with uv (a third of pip's time), else pip.

uv comes from the lock as everything else, hashes checked. It asks the indexes that pip is configured for. Modules are
compiled, as pip does: where Python may not write that down, every process would do it again.

    .venv/bin/python tools/install.py
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
LOCKED = ("--require-hashes", "-r")
LINE = re.compile(r"(?P<section>[^.]+)\.(?P<key>[a-z-]+)=(?P<value>.+)")
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""pip's settings and uv's variables for the same."""
CACHE = "UV_CACHE_DIR"


def main() -> None:
    """Install the lock, then this package, which stays where it is."""
    if not (_has_uv() and _with_uv()):
        print("installing with pip, which takes some minutes ...", flush=True)
        subprocess.run([*PIP, "install", *LOCKED, LOCK], check=True)
    subprocess.run([*PIP, "install", "--no-deps", "--no-build-isolation", "-e", ROOT], check=True)


def _has_uv() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "uv.txt"
        pinned.write_text(pin_of("uv", LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        return subprocess.run([*PIP, "install", *LOCKED, pinned], check=False).returncode == 0


def _with_uv() -> bool:
    listed = subprocess.run([*PIP, "config", "list"], check=True, capture_output=True, text=True).stdout
    command = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--compile-bytecode")
    # With hashes a file is the same whichever index it comes from, as for pip.
    command += ("--index-strategy", "unsafe-best-match")
    # Not in the home, which has a quota: on the environment's own disk files are linked, and here they are gone after.
    cache = Path(sys.prefix) / ".uv-cache"
    environment = {CACHE: str(cache), **uv_settings(listed), **os.environ}
    try:
        done = subprocess.run([*command, "--python", sys.executable, *LOCKED, LOCK], check=False, env=environment)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    return done.returncode == 0


def pin_of(name: str, lock: str) -> str:
    """The lines of ``lock`` that pin a package: its version and hashes. Raises ValueError where there is none."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        message = f"{LOCK.name}: no {name}"
        raise ValueError(message)
    return found.group()


def uv_settings(listed: str) -> dict[str, str]:
    """What ``pip config list`` says, in uv's variables. pip's own variables come before its files, as pip has it."""
    found: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        if match := LINE.fullmatch(line):
            found.setdefault(match["section"], {})[match["key"]] = str(ast.literal_eval(match["value"]))
    pip = found.get("global", {}) | found.get("install", {}) | found.get(":env:", {})
    settings = {variable: pip[key] for key, variable in FROM_PIP.items() if key in pip}
    if links := settings.get("UV_FIND_LINKS"):
        settings["UV_FIND_LINKS"] = ",".join(links.split())
    return settings


if __name__ == "__main__":
    main()
