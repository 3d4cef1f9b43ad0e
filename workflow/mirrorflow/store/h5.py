"""Shared by the h5 files of the store: settings and facts as attributes, clear errors on reading."""

import contextlib
import errno
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from mirrorflow.errors import InputError, MirrorflowError, UnreachableError
from mirrorflow.store.digest import canonical, digest

SETTINGS, DIGEST, FACTS = "settings", "settings_digest", "facts"

OPEN_FILES, RIGHTS, DISK, LOCK = (
    "allow more of them (`ulimit -n`)",
    "give yourself the right to read it",
    "look after its disk or its mount",
    "close it in the program that writes to it",
)
OUTSIDE = {
    errno.EMFILE: OPEN_FILES, errno.ENFILE: OPEN_FILES, errno.EACCES: RIGHTS, errno.EIO: DISK, errno.ESTALE: DISK,
    errno.EAGAIN: LOCK,
}  # fmt: skip
"""Errors of the system that say nothing of what a file holds -> what to do."""

ERRNO = re.compile(r"\berrno = (\d+)")
"""How HDF5 tells the system's error where h5py makes another exception of it (a KeyError, while it reads)."""


class Sink(io.RawIOBase):
    """A file for HDF5 that takes every write, and says afterwards what went wrong (``error``).

    HDF5 ends the process with a segmentation fault after a write of its own failed (a full disk), and no
    message reaches the user.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``; from the first error on, nothing."""
        left = memoryview(data).cast("B")
        size = len(left)
        while self.error is None and len(left):
            try:
                left = left[self._file.write(left) :]
            except OSError as error:
                self.error = error
        return size

    def readinto(self, buffer: Any) -> int:
        """As of a file."""
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """As of a file, errors aside."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def check(self) -> None:
        """Raise the OSError that was met."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """A new h5 file to write. Raises OSError when something could not be written, at the latest at the end."""
    with contextlib.closing(Sink(path)) as sink:
        with h5py.File(sink, "w") as file:
            yield file
        sink.check()


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open an h5 file for reading. Raises InputError where it is missing or damaged, UnreachableError for what lies
    outside of it (rights, a disk, too many open files).

    HDF5 finds damage where it meets it, while the file is in use, and h5py says it with any kind of exception.
    """
    path = Path(path)
    if not path.exists():
        message = f"{path}: no such file"
        raise InputError(message)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except MirrorflowError:
        raise
    except Exception as error:
        number = _errno(error)
        if number in OUTSIDE:
            message = f"{path}: cannot be read now ({os.strerror(number)}): {OUTSIDE[number]}, then run again"
            raise UnreachableError(message) from error
        message = f"{path}: not an h5 file, or damaged ({error}); delete it to have it made again"
        raise InputError(message) from error


def _errno(error: Exception) -> int:
    """The system's number of an error; 0 where it says none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    told = ERRNO.search(str(error))
    return int(told[1]) if told else 0


def own_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """The dataset ``name`` whose values lie in this very file; None where there is no dataset of that name.

    Raises InputError for a link, a virtual dataset or raw storage that leads out of the file: the file's digest and
    the place of its rows then say nothing of the values.
    """
    item = file.get(name)
    if item is None and file.id.links.exists(name.encode()):
        raise _elsewhere(path, name, "a link to what is not there")
    if not isinstance(item, h5py.Dataset):
        return None
    if h5py.h5o.get_info(item.id).fileno != h5py.h5o.get_info(file.id).fileno:
        raise _elsewhere(path, name, f"a link into {item.file.filename}")
    if item.external:
        raise _elsewhere(path, name, f"raw storage in {item.external[0][0]}")
    if item.is_virtual:
        _refuse_foreign_sources(path, file, item)
    return item


def require_stored(path: Path, dataset: h5py.Dataset) -> None:
    """Raise InputError where the values of a dataset do not lie whole within its file, as its shape has them."""
    if dataset.is_virtual or not dataset.size:
        return
    end = path.stat().st_size
    if dataset.chunks is None:
        offset = dataset.id.get_offset()  # None: compact, within the header
        needed = dataset.size * dataset.id.get_type().get_size()  # as stored: bfloat16 is shown as float32
        whole = offset is None or (dataset.id.get_storage_size() == needed and offset + needed <= end)
    else:
        expected = math.prod(-(-side // part) for side, part in zip(dataset.shape, dataset.chunks, strict=True))
        count = dataset.id.get_num_chunks()
        chunks = (dataset.id.get_chunk_info(number) for number in range(count))
        whole = count == expected and all(chunk.byte_offset + chunk.size <= end for chunk in chunks)
    if not whole:
        name = str(dataset.name).strip("/")
        message = (
            f"{path}: {name} has shape {dataset.shape}, of which the file does not hold all; it is damaged, cut off or "
            "was not written to its end: make it again"
        )
        raise InputError(message)


def _refuse_foreign_sources(path: Path, file: h5py.File, item: h5py.Dataset) -> None:
    """Virtual datasets may gather plain datasets of their own file, and nothing else."""
    name = str(item.name).strip("/")
    for source in item.virtual_sources():
        if source.file_name != ".":
            raise _elsewhere(path, name, f"a virtual dataset of {source.file_name}")
        if not isinstance(file.get(source.dset_name, getlink=True), h5py.HardLink) or file[source.dset_name].is_virtual:
            raise _elsewhere(path, name, f"a virtual dataset of {source.dset_name}, itself a link or virtual")
        own_dataset(path, file, source.dset_name)


def _elsewhere(path: Path, name: str, what: str) -> InputError:
    message = (
        f"{path}: {name} is {what}: its values lie elsewhere, and may change while this file stays the same; "
        "copy them into the file (h5repack, or h5py's create_dataset), or name the file that holds them"
    )
    return InputError(message)


def write_settings(file: h5py.File, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Note what the file was made with (compared on re-use) and what was found (not compared)."""
    file.attrs[SETTINGS] = canonical(settings)
    file.attrs[DIGEST] = digest(settings)
    file.attrs[FACTS] = json.dumps(facts)


def read_settings(file: h5py.File) -> tuple[str, dict[str, Any]]:
    """Settings (canonical JSON, empty if the file is not ours) and facts."""
    return str(file.attrs.get(SETTINGS, "")), json.loads(str(file.attrs.get(FACTS, "{}")))
