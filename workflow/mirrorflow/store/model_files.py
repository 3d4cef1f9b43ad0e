"""The files of any model: model.safetensors (arrays, and settings in its metadata), config.json, history.csv.

Free of torch, so that classical methods can do without it.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import write_text, written_whole
from mirrorflow.store.digest import canonical

logger = logging.getLogger("mirrorflow.store")

MODEL, CONFIG, HISTORY = "model.safetensors", "config.json", "history.csv"
CHECKPOINT = "checkpoint.pt"
"""State of a training that is under way; a finished model has none."""
SETTINGS = "settings"
"""The one key of the metadata: safetensors writes several in random order, and equal files would differ."""


def write_model(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Write a finished model; ``model.safetensors`` comes last, so that where it lies all is there.

    ``settings`` go into its metadata, ``config`` into config.json for readers. Without a history there is no
    history.csv. A checkpoint is of no more use, and goes.
    """
    if history:
        with written_whole(folder / HISTORY) as temporary:
            pd.DataFrame(list(history)).to_csv(temporary, index=False)
    else:
        (folder / HISTORY).unlink(missing_ok=True)
    write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    # not ascontiguousarray, which gives a single number an axis
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with written_whole(folder / MODEL) as temporary:
        save_file(whole, str(temporary), metadata={SETTINGS: canonical(settings)})
    (folder / CHECKPOINT).unlink(missing_ok=True)


def stored_settings(folder: Path) -> str | None:
    """Settings in the metadata of a model's file, as canonical JSON; None where there is no whole file."""
    path = folder / MODEL
    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="np") as stream:
            return (stream.metadata() or {}).get(SETTINGS)
    except (SafetensorError, OSError) as error:
        logger.warning("%s: not readable (%s); made again", path, error)
        return None


def read_model(folder: Path, rule: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and settings of a finished model. Raises InputError, naming the rule that makes it, without one."""
    stored = stored_settings(folder)
    if stored is None:
        message = f"{folder / MODEL}: no finished model there; run {rule} first (delete the file if it is damaged)"
        raise InputError(message)
    return load_file(folder / MODEL), json.loads(stored)


def part_of_arrays(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def stored_config(folder: Path) -> dict[str, Any]:
    """Settings of a finished model whose config.json is there, too; empty where there is none."""
    stored = stored_settings(folder) if (folder / CONFIG).exists() else None
    return json.loads(stored) if stored else {}
