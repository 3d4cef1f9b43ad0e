"""What a broken parquet file makes of its reader, as one kind of error."""

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from mirrorflow.errors import InputError

TOO_WIDE = "TProtocolException: Exceeded size limit"
"""What pyarrow says of a footer that describes a million columns, which it writes without a word."""


@contextlib.contextmanager
def reading_parquet(where: str, fix: str) -> Iterator[None]:
    """Raise InputError for what pyarrow raises while it opens or reads a damaged file; ``fix``: what to do then."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"{where}: not there; {fix}"
        raise InputError(message) from error
    except OSError as error:
        if TOO_WIDE in str(error):
            message = (
                f"{where}: more columns than Arrow reads from one file (a million and more); write the matrix with "
                "genes as rows and samples as columns, or as text"
            )
            raise InputError(message) from error
        raise _broken(where, error, fix) from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _broken(where, error, fix) from error


def _broken(where: str, error: Exception, fix: str) -> InputError:
    return InputError(f"{where}: no parquet file, or a damaged one ({str(error).strip()[:200]}); {fix}")
