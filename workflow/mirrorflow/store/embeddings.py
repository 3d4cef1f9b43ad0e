"""Embeddings of one fold: a safetensors file with the arrays and, in its metadata, units and settings."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.digest import canonical, digest, same_making
from mirrorflow.training.embedding import Embeddings

logger = logging.getLogger("mirrorflow.store")

RECORD = "mirrorflow"
"""The one key of the metadata: safetensors writes several in random order, and equal files would differ."""


def write_embeddings(path: Path, embeddings: Embeddings, made_with: Mapping[str, Any]) -> None:
    """Write arrays ``slide`` and ``rna`` [draw, unit, width], and ``*_eval`` where these differ."""
    arrays = {"slide": embeddings.slide, "rna": embeddings.rna}
    if embeddings.slide_eval is not embeddings.slide:
        arrays |= {"slide_eval": embeddings.slide_eval, "rna_eval": embeddings.rna_eval}
    record = {"units": list(embeddings.units), "settings": canonical(made_with)}
    with written_whole(path) as temporary:
        save_file(arrays, str(temporary), metadata={RECORD: json.dumps(record)})


def read_embeddings(path: Path) -> Embeddings:
    """Read what :func:`write_embeddings` wrote. Raises InputError when it is not there or not whole."""
    record = _record(path)
    arrays = load_file(path)
    slide, rna = arrays["slide"], arrays["rna"]
    return Embeddings(
        tuple(record["units"]),
        slide,
        rna,
        arrays.get("slide_eval", slide),
        arrays.get("rna_eval", rna),
    )


def stored_digest(path: Path) -> str:
    """Digest of what the embeddings were made from. Raises InputError when the file is not one."""
    return digest(stored_settings(path))


def stored_settings(path: Path) -> dict[str, Any]:
    """What the embeddings were made from. Raises InputError when the file is not one."""
    return json.loads(_record(path)["settings"])


def stored_data(path: Path) -> dict[str, str]:
    """Digests of the data that was embedded: units, features, and of paired ones expression, genes, matrix."""
    return json.loads(_record(path)["settings"]).get("data", {})


def embeddings_are_finished(path: Path, made_with: Mapping[str, Any]) -> bool:
    """True where ``path`` holds whole embeddings made from exactly this."""
    if not path.exists():
        return False
    try:
        return same_making(_record(path)["settings"], made_with)
    except InputError as error:
        logger.warning("%s; made again", error)
        return False


def _record(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="np") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        message = f"{path}: not readable as embeddings ({error}); delete it and run embed again"
        raise InputError(message) from error
    if RECORD not in metadata:
        message = f"{path}: a safetensors file, but not embeddings (its metadata has no {RECORD})"
        raise InputError(message)
    return json.loads(metadata[RECORD])
