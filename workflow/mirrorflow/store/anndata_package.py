"""The package anndata, which is installed on request."""

from typing import Any

from mirrorflow.errors import InputError


def anndata() -> Any:
    """The package. Raises InputError with the way to get it where it is not installed."""
    try:
        import anndata as package
    except ImportError as error:
        message = "h5ad and zarr need the package anndata, which is not installed: pip install 'mirrorflow[h5ad]'"
        raise InputError(message) from error
    return package
