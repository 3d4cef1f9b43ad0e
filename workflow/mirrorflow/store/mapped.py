"""Files mapped into memory, as many as a cohort has: a map that is kept costs no open file.

Python's own mmap keeps a descriptor a map, and systems allow 1,024 of these.
"""

import ctypes
import os
import weakref
from functools import lru_cache
from pathlib import Path

import numpy as np

PROT_READ, MAP_SHARED = 1, 1
FAILED = ctypes.c_void_p(-1).value


def map_file(path: Path) -> np.ndarray:
    """The bytes of a file [byte], read-only; the map ends with the last array that looks into it.

    Raises OSError where the system refuses.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        address = _libc().mmap(None, size, PROT_READ, MAP_SHARED, stream.fileno(), 0) if size else None
    if not size:
        return np.zeros(0, np.uint8)
    if address in (None, FAILED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    window = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(window, _libc().munmap, address, size)
    pages = np.frombuffer(memoryview(window), np.uint8)
    pages.flags.writeable = False
    return pages


@lru_cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library
