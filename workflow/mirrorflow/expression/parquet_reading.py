"""What a broken parquet file makes of its reader, as one kind of error."""

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from mirrorflow.errors import InputError


@contextlib.contextmanager
def reading_parquet(where: str, fix: str) -> Iterator[None]:
    """Raise InputError for what pyarrow raises while it opens or reads a damaged file; ``fix``: what to do then."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"{where}: not there; {fix}"
        raise InputError(message) from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        message = f"{where}: no parquet file, or a damaged one ({str(error).strip()[:200]}); {fix}"
        raise InputError(message) from error
