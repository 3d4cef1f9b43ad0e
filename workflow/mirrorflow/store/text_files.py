"""Text files that a user gave, read whole: what is wrong with one is said by its name, with the fix."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError

OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""How a file is opened by its ending, decompressed."""


def read_text_file(path: str | Path, said: str = "check the path in the config") -> str:
    """Text of a file in UTF-8 (with or without a mark), decompressed by its ending.

    said: the fix where it is not there. Raises InputError as :func:`read_bytes`, and for other encodings.
    """
    return decoded(read_bytes(path, said), str(path))


def read_bytes(path: str | Path, said: str) -> bytes:
    """Bytes of a file, decompressed by its ending.

    said: the fix where it is not there. Raises InputError for a file that is not there, a folder and a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        message = f"{path}: a folder, where a file is needed; name the file in it"
        raise InputError(message)
    try:
        with OPENERS.get(path.suffix, lambda plain: plain.open("rb"))(path) as stream:
            return stream.read()
    except FileNotFoundError:
        message = f"{path}: not there; {said}"
        raise InputError(message) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        message = f"{path}: not readable as a sheet: {error}"
        raise InputError(message) from error


def decoded(data: bytes, where: str) -> str:
    """Bytes as UTF-8 text. Raises InputError naming the line of the first that is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = (
            f"{where}, line {line}: not readable as a sheet: not a text file in UTF-8 ({error.reason} at byte "
            f"{error.start}); save it as UTF-8 (in Excel: CSV UTF-8)"
        )
        raise InputError(message) from error
