"""A digest of large files that follows their content, from parts of it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mirrorflow.errors import InputError

FINGERPRINT_BYTES = 65_536
BLOCK_BYTES, BLOCKS = 16_384, 16
"""Of a file's middle: every byte of files up to 384 KiB, a sample of larger ones."""


def features_fingerprint(paths: Sequence[Path]) -> str:
    """:func:`content_digest` of feature files. Raises InputError for a file that is not there."""
    try:
        return content_digest(paths)
    except FileNotFoundError as error:
        message = f"{error.filename}: not there; the index of the features names it: run extract_features"
        raise InputError(message) from None


def content_digest(paths: Sequence[Path]) -> str:
    """Sixteen hexadecimal digits of many files, from their sizes and parts of their content: seconds, not hours.

    It follows content: copying or touching a file does not change it, other content does. Read are the first and last
    64 KiB and, of larger files, blocks spread evenly between them. Raises FileNotFoundError.
    """
    total = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as stream:
            total.update(f"{size}:".encode() + stream.read(FINGERPRINT_BYTES))
            for place in _places_between(size):
                stream.seek(place)
                total.update(stream.read(BLOCK_BYTES))
            stream.seek(max(0, size - FINGERPRINT_BYTES))
            total.update(stream.read(FINGERPRINT_BYTES))
    return total.hexdigest()[:16]


def _places_between(size: int) -> list[int]:
    """Where the blocks begin that are read between head and tail; none where these cover the file."""
    between = size - 2 * FINGERPRINT_BYTES
    if between <= 0:
        return []
    step = max(BLOCK_BYTES, between // BLOCKS)
    return [FINGERPRINT_BYTES + start for start in range(0, between, step)]
