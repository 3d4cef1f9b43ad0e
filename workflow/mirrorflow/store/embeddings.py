"""Embeddings of one fold: a safetensors file with the arrays and, in its metadata, units and settings."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from mirrorflow.errors import InputError
from mirrorflow.store.digest import canonical, digest
from mirrorflow.store.files import written_whole
from mirrorflow.training.embedding import Embeddings

logger = logging.getLogger("mirrorflow.store")


def write_embeddings(path: Path, embeddings: Embeddings, made_with: Mapping[str, Any]) -> None:
    """Write arrays ``slide`` and ``rna`` [draw, unit, width], and ``*_eval`` where these differ."""
    arrays = {"slide": embeddings.slide, "rna": embeddings.rna}
    if embeddings.slide_eval is not embeddings.slide:
        arrays |= {"slide_eval": embeddings.slide_eval, "rna_eval": embeddings.rna_eval}
    metadata = {
        "units": json.dumps(list(embeddings.units)),
        "settings": canonical(made_with),
        "digest": digest(made_with),
    }
    with written_whole(path) as temporary:
        save_file(arrays, str(temporary), metadata=metadata)


def read_embeddings(path: Path) -> Embeddings:
    """Read what :func:`write_embeddings` wrote. Raises InputError when it is not there or not whole."""
    metadata = _metadata(path)
    arrays = load_file(path)
    slide, rna = arrays["slide"], arrays["rna"]
    return Embeddings(
        tuple(json.loads(metadata["units"])),
        slide,
        rna,
        arrays.get("slide_eval", slide),
        arrays.get("rna_eval", rna),
    )


def stored_digest(path: Path) -> str:
    """Digest of what the embeddings were made from. Raises InputError when the file is not one."""
    return _metadata(path)["digest"]


def embeddings_are_finished(path: Path, made_with: Mapping[str, Any]) -> bool:
    """True where ``path`` holds whole embeddings made from exactly this."""
    if not path.exists():
        return False
    try:
        return _metadata(path)["settings"] == canonical(made_with)
    except InputError as error:
        logger.warning("%s; made again", error)
        return False


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(str(path), framework="np") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        message = f"{path}: not readable as embeddings ({error}); delete it and run embed again"
        raise InputError(message) from error
    if "units" not in metadata:
        message = f"{path}: a safetensors file, but not embeddings (no units in its metadata)"
        raise InputError(message)
    return metadata
