"""A supervised method's answer to one question: network built, trained, its epoch chosen, units predicted."""

import logging
from collections.abc import Mapping
from typing import Any

import torch

from mirrorflow.jobs.bagged import FoldBags
from mirrorflow.jobs.pretrain import fold_seed
from mirrorflow.jobs.questions import Question
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.objective import loss_on, to_prediction
from mirrorflow.probes.task import Prediction, Scorer
from mirrorflow.training.supervised import SupervisedSettings, predict_units, train_supervised

logger = logging.getLogger("mirrorflow.predict")

OF_THE_LOSS = ("label_smoothing", "alpha")
OF_THE_INPUTS = ("feature_scaling", "cache_gb")


def train_and_predict(
    inputs: FoldBags, question: Question, method: Mapping[str, Any], scorer: Scorer | None, *, device: str = "auto"
) -> Prediction:
    """Train the method's network on the question's training units and predict its evaluation units.

    The last epoch is reported; with a ``scorer`` the epoch with the best score (the first of equals), the
    published habit that the auditor calls a leak.
    """
    train = dict(method["train"])
    loss = {key: train.pop(key) for key in OF_THE_LOSS}
    for key in OF_THE_INPUTS:
        train.pop(key)
    settings = SupervisedSettings(**train, seed=fold_seed(question.seed, question.fold))
    network = _build(inputs, question, method, settings.seed)
    best: list[tuple[float, Prediction]] = []

    def predict(epoch: int) -> Prediction:
        logits = predict_units(network, inputs.evaluation, device=device)
        return to_prediction(logits, question.train, epoch)

    def judge(epoch: int) -> None:
        prediction = predict(epoch)
        score = scorer(prediction)  # type: ignore[misc]
        if not best or score > best[0][0]:
            best[:] = [(score, prediction)]

    label = f"{method['family']} {question.task} fold {question.fold} {question.setting}"
    loss_of = loss_on(question.train, **loss)
    on_epoch = None if scorer is None else judge
    history = train_supervised(network, inputs.train, loss_of, settings, label=label, on_epoch=on_epoch, device=device)
    return best[0][1] if best else predict(len(history))


def _build(inputs: FoldBags, question: Question, method: Mapping[str, Any], seed: int) -> SupervisedNetwork:
    outputs = len(question.classes) if question.edges is None else len(question.edges) - 1
    sizes = Sizes(inputs.patch_dim, inputs.train.genes.shape[1], outputs, inputs.gene_sets)
    network = build_network(method["family"], sizes, method["network"], seed)
    if inputs.moments is not None:
        network.scale_patches(*map(torch.from_numpy, inputs.moments))
    return network
