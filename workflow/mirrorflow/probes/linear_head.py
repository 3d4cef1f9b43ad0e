"""The published probe: one linear layer on frozen embeddings, trained with Adam.

MIRROR, Sec. IV (settings in FACTS of the config reference): weights start from N(0, 0.01), biases at 0;
subtyping by cross-entropy with label smoothing in training only, survival by discrete hazards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.config.fields import SEED, Settings, of_run, same
from mirrorflow.config.probe_settings import Probe
from mirrorflow.config.training_settings import NOT_NEGATIVE
from mirrorflow.probes.objective import CrossEntropy, Hazards, TaskObjective, judge_of, readout_of, target_tensors
from mirrorflow.probes.task import LAST, EpochRule, Prediction, Targets
from mirrorflow.training.heads import HeadRun, HeadTraining


@dataclass(frozen=True)
class HeadSettings(Settings):
    """Settings of the linear head in one fold. ``learning_rate`` is that of the task at hand.

    A set of no more than one batch goes in batches of the power of two below, as published. drop_last: leave the last
    incomplete batch of an epoch out (published).
    """

    epochs: int = same(Probe, "epochs")
    batch_size: int = same(Probe, "batch_size")
    learning_rate: float = same(Probe, "learning_rate")
    label_smoothing: float = same(Probe, "label_smoothing")
    weight_decay: float = same(Probe, "weight_decay")
    standardize: bool = same(Probe, "standardize")
    drop_last: bool = same(Probe, "drop_last")
    seed: int = of_run("Of every draw.", SEED, **NOT_NEGATIVE)

    @classmethod
    def of_probe(cls, probe: Mapping[str, Any], task: str, seed: int) -> "HeadSettings":
        """From the config's section ``probe``, at the learning rate of the task."""
        rates = {"subtyping": probe["learning_rate"], "survival": probe["survival_learning_rate"]}
        others = {key: probe[key] for key in probe if key not in ("survival_learning_rate", "survival_bins")}
        return cls(**{**others, "learning_rate": rates[task]}, seed=seed)


@dataclass(frozen=True)
class FittedHead:
    """A head after its training: what it predicts, its arrays, its history.

    arrays: ``weight`` [output, feature] and ``bias`` [output] of the reported epoch, and ``mean`` and ``deviation``
    [feature] of what standardises the embeddings, where anything does.
    """

    prediction: Prediction
    arrays: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]


def fit_linear_head(
    train: np.ndarray,
    evaluation: np.ndarray,
    targets: Targets,
    outputs: int,
    settings: HeadSettings,
    rule: EpochRule = LAST,
) -> Prediction:
    """As :func:`fit_head`: the prediction alone."""
    return fit_head(train, evaluation, targets, outputs, settings, rule).prediction


def fit_head(
    train: np.ndarray,
    evaluation: np.ndarray,
    targets: Targets,
    outputs: int,
    settings: HeadSettings,
    rule: EpochRule = LAST,
) -> FittedHead:
    """Train the head on embeddings and predict the evaluation units.

    train [draw, unit, feature], evaluation [draw, unit, feature]: epoch e sees draw e modulo the number of
    draws (one draw: frozen embeddings; one per epoch: the published resampling). outputs: classes or bins.
    The last epoch is reported, or what ``rule`` says; the learning rate is the same in all of them.
    """
    scaling: dict[str, Any] = {}
    if settings.standardize:
        mean, deviation = moments(train)
        train, evaluation = (train - mean) / deviation, (evaluation - mean) / deviation
        scaling = {"mean": mean, "deviation": deviation}
    training = _training(train, targets, outputs, settings)
    held_out, readout = torch.as_tensor(evaluation, dtype=torch.float32), readout_of(targets)

    def predict(epoch: int) -> Prediction:
        with torch.inference_mode():
            return readout.predict(training.network(held_out[(epoch - 1) % len(held_out)]), epoch)

    trainer = training.fit(judge_of(rule, predict), rule.stop_after)
    weights = {name: tensor.detach().clone() for name, tensor in training.network.state_dict().items()}
    return FittedHead(predict(trainer.reported), weights | scaling, trainer.history)


def predict_head(arrays: Mapping[str, Any], vectors: np.ndarray, epoch: int) -> Tensor:
    """Logits [unit, output] of a head that :func:`fit_head` gave, from vectors [draw, unit, feature].

    Epoch e sees draw e modulo the number of draws, as while it was trained.
    """
    if "mean" in arrays:
        vectors = (vectors - np.asarray(arrays["mean"])) / np.asarray(arrays["deviation"])
    data = torch.as_tensor(vectors, dtype=torch.float32)[(epoch - 1) % len(vectors)]
    return nn.functional.linear(data, torch.as_tensor(arrays["weight"]), torch.as_tensor(arrays["bias"]))


def last_head(
    train: np.ndarray, targets: Targets, outputs: int, settings: HeadSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Weight [output, feature] and bias [output] after the last epoch, on embeddings as they are.

    train [draw, unit, feature] as in :func:`fit_head`; standardising is folded into weight and bias.
    """
    mean, deviation = np.zeros(train.shape[-1]), np.ones(train.shape[-1])
    if settings.standardize:
        mean, deviation = moments(train)
    training = _training((train - mean) / deviation, targets, outputs, settings)
    training.fit()
    weight = training.network.weight.detach().double().numpy() / deviation
    return weight, training.network.bias.detach().double().numpy() - weight @ mean


def _training(train: np.ndarray, targets: Targets, outputs: int, settings: HeadSettings) -> HeadTraining:
    objective: TaskObjective = Hazards(outputs)
    if targets.classes is not None:
        objective = CrossEntropy(outputs, settings.label_smoothing)
    run = HeadRun(
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        settings.weight_decay,
        settings.drop_last,
        settings.seed,
    )
    data = torch.as_tensor(train, dtype=torch.float32)
    return HeadTraining(data, target_tensors(targets), objective, outputs, run)


def moments(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [feature] of vectors [draw, unit, feature]; the deviation of a constant one is 1."""
    deviation = train.std((0, 1))
    return train.mean((0, 1)), np.where(deviation > 0, deviation, 1.0)
