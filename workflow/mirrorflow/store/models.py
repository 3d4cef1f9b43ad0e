"""A pretrained model's folder: model.safetensors, config.json, history.csv; checkpoint.pt while it trains."""

import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mirrorflow.errors import InputError
from mirrorflow.models.families import family_of
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.runtime.files import write_text, written_whole
from mirrorflow.store.digest import canonical, digest, require_same_settings
from mirrorflow.training.best_epoch import Best
from mirrorflow.training.pretraining import TrainingState

logger = logging.getLogger("mirrorflow.store")

MODEL, CONFIG, HISTORY, CHECKPOINT = "model.safetensors", "config.json", "history.csv", "checkpoint.pt"
NETWORK, SCALER = "network.", "rna_scaler."
SETTINGS = "settings"
"""The one key of the metadata: safetensors writes several in random order, and equal files would differ."""


@dataclass(frozen=True)
class StoredModel:
    """A network in evaluation mode, what it was made with (nested settings), and its RNA scaler's arrays."""

    network: PairedNetwork
    made_with: dict[str, Any]
    rna_scaler: dict[str, np.ndarray]


def save_model(
    folder: Path,
    network: PairedNetwork,
    made_with: Mapping[str, Any],
    *,
    rna_scaler: Mapping[str, np.ndarray],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Write a finished model; ``model.safetensors`` comes last, so that where it lies all is there.

    The file holds the weights with the patch scaling (``network.*``) and the RNA scaling
    (``rna_scaler.*``); its metadata holds ``made_with``.
    """
    with written_whole(folder / HISTORY) as temporary:
        pd.DataFrame(list(history)).to_csv(temporary, index=False)
    config = {"digest": digest(made_with), **made_with}
    write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = {NETWORK + name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    tensors |= {SCALER + name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in rna_scaler.items()}
    with written_whole(folder / MODEL) as temporary:
        save_file(tensors, str(temporary), metadata={SETTINGS: canonical(made_with)})
    (folder / CHECKPOINT).unlink(missing_ok=True)


def model_is_finished(folder: Path, made_with: Mapping[str, Any]) -> bool:
    """True where ``folder`` holds a whole model made with exactly these settings and inputs."""
    parts = (folder / MODEL, folder / CONFIG, folder / HISTORY)
    return all(part.exists() for part in parts) and _stored_settings(folder) == canonical(made_with)


def _stored_settings(folder: Path) -> str | None:
    try:
        with safe_open(str(folder / MODEL), framework="pt") as stream:
            return (stream.metadata() or {}).get(SETTINGS)
    except (SafetensorError, OSError) as error:
        logger.warning("%s: not readable (%s); made again", folder / MODEL, error)
        return None


def load_model(folder: Path) -> StoredModel:
    """Read a finished model onto the CPU. Raises InputError when it is not there or not whole."""
    path = folder / MODEL
    stored = _stored_settings(folder) if path.exists() else None
    if stored is None:
        message = f"{path}: no finished model there; run pretrain first (delete the file if it is damaged)"
        raise InputError(message)
    made_with = json.loads(stored)
    tensors = load_file(path)
    family = family_of(made_with.get("family", "mirror"))
    network = family.network(family.settings(**made_with["model"]))
    network.load_state_dict(
        {name.removeprefix(NETWORK): value for name, value in tensors.items() if name.startswith(NETWORK)}
    )
    scaler = {name.removeprefix(SCALER): value.numpy() for name, value in tensors.items() if name.startswith(SCALER)}
    return StoredModel(network.eval(), made_with, scaler)


def model_digest(folder: Path) -> str:
    """Digest of what the finished model in ``folder`` was made with. Raises InputError without one."""
    if not (folder / MODEL).exists() or (stored := _stored_settings(folder)) is None:
        message = f"{folder / MODEL}: no finished model there; run pretrain first"
        raise InputError(message)
    return digest(json.loads(stored))


def save_checkpoint(folder: Path, state: TrainingState, made_with: Mapping[str, Any]) -> None:
    """Write the state of training, whole or not at all."""
    content = {
        "settings": canonical(made_with),
        "epoch": state.epoch,
        "model": state.model,
        "optimizer": state.optimizer,
        "history": [dict(row) for row in state.history],
        "best": None if state.best is None else vars(state.best),
    }
    with written_whole(folder / CHECKPOINT) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)  # to a stream: torch's own file says nothing of a full disk


def load_checkpoint(folder: Path, made_with: Mapping[str, Any]) -> TrainingState | None:
    """The last finished epoch of an interrupted run, or None; read without executing what the file holds.

    Raises SettingsMismatchError naming each setting that differs when it is another config's.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        logger.warning("%s: not readable (%s); training starts anew", path, error)
        return None
    require_same_settings(str(path), content["settings"], made_with)
    best = Best(**content["best"]) if content.get("best") else None
    return TrainingState(content["epoch"], content["model"], content["optimizer"], content["history"], best)
