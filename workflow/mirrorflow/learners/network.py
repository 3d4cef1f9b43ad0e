"""A supervised method's answer to one fold task: network built, trained, its epoch chosen, units predicted."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from mirrorflow.learners.base import Trained
from mirrorflow.learners.inputs.bagged import FoldBags
from mirrorflow.learners.pretrained import fold_seed
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.linear_head import snapshot
from mirrorflow.probes.objective import loss_on, prediction_of, to_prediction
from mirrorflow.probes.task import EpochRule, Prediction, Reported
from mirrorflow.store.model_files import part_of_arrays
from mirrorflow.training.supervised import SupervisedSettings, Units, predict_units, train_supervised

logger = logging.getLogger("mirrorflow.predict")

NETWORK = "network."
"""What the names of a network's weights begin with."""

OF_THE_LOSS = ("label_smoothing", "alpha")
OF_THE_INPUTS = ("feature_scaling", "cache_gb")


def train_and_predict(
    inputs: FoldBags, fold_task: FoldTask, method: Mapping[str, Any], rule: EpochRule, *, device: str = "auto"
) -> Trained:
    """Train the method's network on the fold task's training units and predict its evaluation units.

    The last epoch is reported, or what ``rule`` says. An epoch is one of a schedule: epoch 7 of 20 has the same
    learning rate (as a share of all steps) whether training goes on after it or not, and whether it is a part of the
    training units that is passed over or all of them. So an epoch chosen on inner folds is the same point of the
    same schedule when the whole fold is trained on, though it has more steps there.
    """
    train = dict(method["train"])
    loss = {key: train.pop(key) for key in OF_THE_LOSS}
    for key in OF_THE_INPUTS:
        train.pop(key)
    settings = SupervisedSettings(**train, seed=fold_seed(fold_task.seed, fold_task.fold))
    settings = replace(settings, passes=settings.passes_for(rule.units or len(inputs.train)), min_steps=0)
    sizes = _sizes(inputs, fold_task)
    network = build_network(method["family"], sizes, method["network"], settings.seed)
    if inputs.moments is not None:
        network.scale_patches(*map(torch.from_numpy, inputs.moments))

    def predict(epoch: int) -> Prediction:
        logits = predict_units(network, inputs.evaluation, device=device)
        return to_prediction(logits, fold_task.train, epoch)

    reported = Reported(rule, predict, lambda: snapshot(network))
    label = f"{method['family']} {fold_task.task} fold {fold_task.fold} {fold_task.setting}"
    loss_of = loss_on(fold_task.train, **loss)
    history = train_supervised(
        network,
        inputs.train,
        loss_of,
        settings,
        label=label,
        on_epoch=reported.hear,
        stop_after=rule.stop_after,
        device=device,
    )
    prediction, weights = reported.after(len(history))
    return Trained(
        prediction,
        {f"{NETWORK}{name}": tensor for name, tensor in weights.items()},
        {"kind": "network", "network": dict(method["network"]), "sizes": asdict(sizes)},
        [{"epoch": number, "loss": loss} for number, loss in enumerate(history, 1)],
    )


def predict_again(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], units: Units) -> Prediction:
    """What :func:`train_and_predict` predicted of ``units``, from its arrays and config."""
    given = config["sizes"]
    sizes = Sizes(**{**given, "gene_sets": tuple(map(tuple, given["gene_sets"]))})
    network = build_network(config["family"], sizes, config["network"], seed=0)
    network.load_state_dict({name: torch.tensor(array) for name, array in part_of_arrays(arrays, NETWORK).items()})
    return prediction_of(predict_units(network, units), config["epoch"], survival=config["task"] == "survival")


def _sizes(inputs: FoldBags, fold_task: FoldTask) -> Sizes:
    outputs = len(fold_task.classes) if fold_task.edges is None else len(fold_task.edges) - 1
    return Sizes(inputs.patch_dim, inputs.train.genes.shape[1], outputs, inputs.gene_sets)
