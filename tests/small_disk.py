"""A disk of a megabyte or so, for tests of what happens when it is full."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A tmpfs of ``size`` (as of mount); skips the test where that is not permitted.

    Its folder is none of pytest's: a mount that a killed session left there fails every later one's cleaning up.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small tmpfs")
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def enlarge(folder: Path, size: str) -> None:
    """Give a disk of :func:`small_disk` another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
