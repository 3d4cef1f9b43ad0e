"""Methods as functions of what they see and of a fold task, found by family (config/methods.yaml)."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from mirrorflow.config import versions
from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.modules import part_of
from mirrorflow.config.queries import learns_hazards, version_of_family, version_with_settings
from mirrorflow.learners.base import Checkpoint, Trained
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.metrics import accuracy, c_index, confusion
from mirrorflow.probes.task import Asked, EpochRule, Prediction, Scorer, SubtypePrediction, Targets


class Predictor(Protocol):
    """Fits a method on a fold task and predicts its evaluation units."""

    def __call__(
        self,
        inputs: Any,
        fold_task: FoldTask,
        method: Mapping[str, Any],
        rule: EpochRule,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        """``inputs``: what the method's representation gives for the fold task (:class:`FoldVectors`, or bags).

        ``checkpoint``: where a long training keeps its state; short ones have none.
        """


HEAD, MODEL = "head.", "model."
"""What the names of a linear head's weights, and of a classical model's arrays, begin with."""


def measure_on(targets: Targets) -> Scorer:
    """Accuracy or C-index on held-out units, by which an epoch is chosen; NaN where it is undefined."""
    ones = np.ones((1, len(targets)))

    def measure(prediction: Prediction) -> float:
        if isinstance(prediction, SubtypePrediction):
            return float(accuracy(confusion(prediction.probabilities, targets.classes, ones))[0])  # type: ignore[arg-type]
        return float(c_index(prediction.risk, targets.time_days, targets.event, ones)[0])  # type: ignore[arg-type]

    return measure


def score_on(targets: Targets) -> Scorer:
    """:func:`measure_on` with what is undefined last: the published choice, on the evaluation units.

    Units of whom none can be ranked (a fold without an event) choose nothing: the last epoch is reported.
    """
    measure = measure_on(targets)

    def score(prediction: Prediction) -> float:
        value = measure(prediction)
        return -np.inf if np.isnan(value) else value

    return score


FIRST_EPOCH, FLOOR, TOO_EARLY = 6, 1e-12, -1e9
"""Of TTA's released choice: the first epoch that may be taken, what scores are raised to, and what is below any."""


def released_score_on(targets: Targets, *, hazards: bool) -> Scorer:
    """Minus the loss by which TTA's released code chooses the epoch; from the sixth on, else the last there is.

    Its validation collects log risks and takes their logarithm once more, after raising those below 1e-12 to it: all
    units whose log risk is negative then have one score, -27.6. The loss is Cox's with ties in the order of the units,
    and 0 where none of them has an event: then the sixth epoch is the first of equals.
    TTA predicts neither classes nor ``hazards``: classes are judged by minus the cross-entropy, discrete hazards by
    their mean log-likelihood. Their risk, minus a sum of survival, is always negative, and would make all epochs equal.
    """

    def score(prediction: Prediction) -> float:
        if prediction.epoch is not None and prediction.epoch < FIRST_EPOCH:
            return TOO_EARLY + prediction.epoch
        if isinstance(prediction, SubtypePrediction):
            of_own = prediction.probabilities[np.arange(len(targets)), targets.classes]
            return float(np.log(np.maximum(of_own, FLOOR)).mean())
        if hazards:
            return _log_likelihood(prediction.survival, targets)  # type: ignore[arg-type]
        return -_cox_loss(np.log(np.maximum(prediction.risk, FLOOR)), targets)

    return score


def _log_likelihood(survival: np.ndarray, targets: Targets) -> float:
    """Mean over units of discrete hazards' log-likelihood, from survival [unit, bin] at the ends of the bins: an event
    lies in its bin, a censored unit survives its own.
    """
    before = np.hstack([np.ones((len(survival), 1)), survival])
    unit = np.arange(len(survival))
    start, end = before[unit, targets.bins], survival[unit, targets.bins]
    own = np.where(np.array(targets.event, bool), start - end, end)
    return float(np.log(np.maximum(own, FLOOR)).mean())


def _cox_loss(risk: np.ndarray, targets: Targets) -> float:
    """Ties in the order of the units. Torch is imported here, so that the other choices do without it."""
    import torch

    from mirrorflow.probes.partial_likelihood import cox_loss

    time, event = np.array(targets.time_days, float), np.array(targets.event, bool)
    return float(cox_loss(torch.from_numpy(risk), torch.from_numpy(time), torch.from_numpy(event), "order"))


def _head(
    inputs: FoldVectors,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """The probe of pretrained methods. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.probes.linear_head import HeadSettings, fit_head

    settings = HeadSettings.of_probe(method["probe"], fold_task.task, fold_task.seed)
    outputs = method["probe"]["survival_bins"] if fold_task.task == "survival" else len(fold_task.classes)
    head = fit_head(inputs.train, inputs.evaluation, fold_task.train, outputs, settings, rule)
    arrays = {f"{HEAD}{name}": array for name, array in head.arrays.items()}
    return Trained(head.prediction, arrays, {"kind": "head"}, head.history)


def _classical(
    inputs: FoldVectors,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """The family's module in :mod:`mirrorflow.probes`; of the evaluation units it is given their vectors alone."""
    asked = Asked(len(fold_task.classes), fold_task.bin_ends)
    fitted = part_of("probes", method["family"], "fit")(inputs.train[0], fold_task.train, asked, method)
    arrays = {f"{MODEL}{name}": array for name, array in fitted.arrays().items()}
    return Trained(fitted.predict(inputs.evaluation[0], asked), arrays, {"kind": "classical"})


def _supervised(
    inputs: Any,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """A network trained on bags. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.learners.network import train_and_predict

    return train_and_predict(inputs, fold_task, method, rule, checkpoint=checkpoint)


def _adapted(
    inputs: Any,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Another cohort's encoders, adapted. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.learners.adapted import adapt_and_predict

    return adapt_and_predict(inputs, fold_task, method, rule)


def predictor_of(method: Mapping[str, Any]) -> Predictor:
    """What fits and predicts a method: adaptation, the linear head of the pretrained ones, the training loop of the
    supervised ones, or its family's own function.
    """
    if "adapt" in method:
        return _adapted
    if method["family"] in PRETRAINED_FAMILIES:
        return _head
    return _supervised if "train" in method else _classical


def unfit_for(fold_task: FoldTask, method: Mapping[str, Any]) -> str:
    """Why a method that learns by gradients cannot be fitted on a fold task; empty where it can, and for classical
    methods, which say so themselves: censored units alone have a likelihood, but only of nobody ever dying.

    Cox's partial likelihood compares who has an event with the others at risk then: without others it is 0 whatever the
    weights, and they stay as they were drawn.
    """
    event, time_days = fold_task.train.event, fold_task.train.time_days
    if event is None or time_days is None or predictor_of(method) is _classical:
        return ""
    more = "more shots, or fewer folds, give more patients"
    if not event.any():
        none = f"no event among the {len(event)} training units"
        return f"{none}: survival cannot be learned of censored patients alone; {more}"
    if learns_hazards(method) or (time_days >= time_days[event].min()).sum() > 1:
        return ""
    alone = f"no event among the {len(event)} training units has another at risk"
    return f"{alone}: Cox's loss (train.survival: cox) ranks nobody and teaches nothing; {more}, hazards need no others"


def version_of(method: Mapping[str, Any], epoch: str) -> int | str:
    """Version of the algorithms that give a method's predictions under a protocol's ``epoch``, and of its family and
    settings where these have changed.
    """
    if "adapt" in method:
        base = versions.ADAPTATION
    elif "train" in method:
        base = versions.SUPERVISED
    else:
        base = versions.PROBE if method["family"] in PRETRAINED_FAMILIES else versions.BASELINES
    return version_with_settings(version_of_family(base, method["family"]), method, epoch)
