"""A pretrained model's folder: model.safetensors, config.json, history.csv; checkpoint.pt while it trains."""

import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mirrorflow.errors import InputError, SettingsMismatchError
from mirrorflow.models.families import family_of
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.digest import as_known, canonical, digest, require_same_settings, same_making
from mirrorflow.store.model_files import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    MODEL,
    part_of_arrays,
    read_model,
    stored_settings,
    write_model,
)
from mirrorflow.training.best_epoch import Best
from mirrorflow.training.trainer import TrainingState

logger = logging.getLogger("mirrorflow.store")

NETWORK, SCALER = "network.", "rna_scaler."


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
    arrays = {NETWORK + name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    arrays |= {SCALER + name: array for name, array in rna_scaler.items()}
    write_model(folder, arrays, made_with, {"digest": digest(made_with), **made_with}, history)


def model_is_finished(folder: Path, made_with: Mapping[str, Any]) -> bool:
    """True where ``folder`` holds a whole model made with exactly these settings and inputs."""
    parts = (folder / MODEL, folder / CONFIG, folder / HISTORY)
    stored = stored_settings(folder) if all(part.exists() for part in parts) else None
    return stored is not None and same_making(stored, made_with)


def load_model(folder: Path) -> StoredModel:
    """Read a finished model onto the CPU. Raises InputError when it is not there or not whole."""
    arrays, made_with = read_model(folder, "pretrain")
    family = family_of(made_with.get("family", "mirror"))
    network = family.network(family.settings(**made_with["model"]))
    weights = {name: torch.tensor(array) for name, array in part_of_arrays(arrays, NETWORK).items()}
    network.load_state_dict(weights)
    scaler = part_of_arrays(arrays, SCALER)
    return StoredModel(network.eval(), made_with, scaler)


def model_digest(folder: Path) -> str:
    """Digest of what the finished model in ``folder`` was made with. Raises InputError without one."""
    if (stored := stored_settings(folder)) is None:
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


def load_own_checkpoint(folder: Path, made_with: Mapping[str, Any]) -> TrainingState | None:
    """As :func:`load_checkpoint`; beside the state of another training this one starts anew, and overwrites it."""
    try:
        return load_checkpoint(folder, made_with)
    except SettingsMismatchError:
        logger.info("%s: of other settings or inputs; training starts anew", folder / CHECKPOINT)
        return None


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
    known = as_known(json.loads(content["settings"]), made_with)
    require_same_settings(str(path), content["settings"], known)
    best = Best(**content["best"]) if content.get("best") else None
    return TrainingState(content["epoch"], content["model"], content["optimizer"], content["history"], best)
