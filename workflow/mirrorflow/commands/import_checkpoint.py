"""``mirrorflow import-checkpoint``: a public checkpoint of MIRROR's pretraining as a model of this project."""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from mirrorflow.errors import ConfigError
from mirrorflow.models.public_mirror import network_of
from mirrorflow.store.digest import file_digest
from mirrorflow.store.model_files import MODEL
from mirrorflow.store.models import save_model
from mirrorflow.store.weights import read_weights


def import_checkpoint(checkpoint: Path, folder: Path) -> int:
    """Read a torch or safetensors file (nothing in it is executed) and write ``folder`` as a pretrained model.

    The model has no RNA scaler: it takes expression as its owner scaled it. Raises InputError for a file of another
    network, ConfigError where a model lies in the folder already.
    """
    if (folder / MODEL).exists():
        message = f"{folder / MODEL}: there is a model already; name another folder, or delete it"
        raise ConfigError(message)
    with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its options beside the weights
        state = read_weights(checkpoint)
    network = network_of(state)
    made_with = {
        "version": "imported",
        "checkpoint": file_digest(checkpoint),
        "model": dataclasses.asdict(network.settings),
        "data": {"rna_scaling": "none"},
    }
    save_model(folder, network, made_with, rna_scaler={}, history=[])
    count, settings = sum(one.numel() for one in network.parameters()), network.settings
    sys.stdout.write(
        f"{folder / MODEL}: {count:,} parameters; features of {settings.patch_dim:,}, {settings.gene_count:,} genes, "
        f"width {settings.width:,}, {settings.tokens:,} tokens\n"
    )
    return 0
