"""Methods as functions of vectors and targets: one entry of :data:`PREDICTORS` a family."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mirrorflow import versions
from mirrorflow.config import PRETRAINED_FAMILIES
from mirrorflow.errors import InputError
from mirrorflow.jobs.questions import Question
from mirrorflow.jobs.representations import FoldVectors
from mirrorflow.metrics import accuracy, c_index, confusion
from mirrorflow.probes import classical
from mirrorflow.probes.covariates import TARGETS
from mirrorflow.probes.task import EpochRule, Prediction, Scorer, SubtypePrediction, Targets

Predictor = Callable[[Any, Question, Mapping[str, Any], EpochRule], Prediction]
"""Takes what the method's representation gives for a question (:class:`FoldVectors`, or bags)."""


def measure_on(targets: Targets) -> Scorer:
    """Accuracy or C-index on held-out units, by which an epoch is chosen; NaN where it is undefined."""
    ones = np.ones((1, len(targets)))

    def measure(prediction: Prediction) -> float:
        if isinstance(prediction, SubtypePrediction):
            return float(accuracy(confusion(prediction.probabilities, targets.classes, ones))[0])  # type: ignore[arg-type]
        return float(c_index(prediction.risk, targets.time_days, targets.event, ones)[0])  # type: ignore[arg-type]

    return measure


def score_on(targets: Targets) -> Scorer:
    """:func:`measure_on` with what is undefined last: the published choice, on the evaluation units."""
    measure = measure_on(targets)

    def score(prediction: Prediction) -> float:
        value = measure(prediction)
        return -np.inf if np.isnan(value) else value

    return score


def _head(vectors: FoldVectors, question: Question, method: Mapping[str, Any], rule: EpochRule) -> Prediction:
    """The probe of pretrained methods. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.probes.linear_head import HeadSettings, fit_linear_head

    settings = HeadSettings.of_probe(method["probe"], question.task, question.seed)
    outputs = method["probe"]["survival_bins"] if question.task == "survival" else len(question.classes)
    return fit_linear_head(vectors.train, vectors.evaluation, question.train, outputs, settings, rule)


def _majority(vectors: FoldVectors, question: Question, _method: Mapping[str, Any], _rule: EpochRule) -> Prediction:
    count = len(question.evaluation)
    if question.edges is None:
        return classical.predict_majority(question.train, count, len(question.classes))
    return classical.predict_everyone_alike(question.train, count, question.edges)


def _linear(vectors: FoldVectors, question: Question, method: Mapping[str, Any], _rule: EpochRule) -> Prediction:
    train, evaluation = vectors.train[0], vectors.evaluation[0]
    if question.edges is None:
        return classical.predict_logistic(train, evaluation, question.train, len(question.classes), method["C"])
    return classical.predict_hazards(train, evaluation, question.train, len(question.edges) - 1, method["C"])


def _cox(vectors: FoldVectors, question: Question, method: Mapping[str, Any], _rule: EpochRule) -> Prediction:
    return classical.predict_cox(
        vectors.train[0],
        vectors.evaluation[0],
        question.train,
        question.edges,  # type: ignore[arg-type]
        components=method["components"],
        alpha=method["alpha"],
    )


def _clinical(vectors: FoldVectors, question: Question, method: Mapping[str, Any], rule: EpochRule) -> Prediction:
    if not vectors.train.shape[2]:
        has = [str(name) for name in question.train.units if name not in TARGETS]
        message = (
            f"none of the columns {', '.join(method['columns'])} is known in this cohort, which has {', '.join(has)}; "
            "name others under the method's `columns:`"
        )
        raise InputError(message)
    return (_linear if question.edges is None else _cox)(vectors, question, method, rule)


def _supervised(inputs: Any, question: Question, method: Mapping[str, Any], rule: EpochRule) -> Prediction:
    """A network trained on bags. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.jobs.supervised import train_and_predict

    return train_and_predict(inputs, question, method, rule)


def _adapted(inputs: Any, question: Question, method: Mapping[str, Any], rule: EpochRule) -> Prediction:
    """Another cohort's encoders, adapted. Torch is imported here, so that the other methods do without it."""
    from mirrorflow.jobs.adapt import adapt_and_predict

    return adapt_and_predict(inputs, question, method, rule)


PREDICTORS: dict[str, Predictor] = {
    **dict.fromkeys(PRETRAINED_FAMILIES, _head),
    "majority": _majority,
    "linear": _linear,
    "cox": _cox,
    "clinical": _clinical,
}


def predictor_of(method: Mapping[str, Any]) -> Predictor:
    """What fits and predicts a method: its family's, the training loop of the supervised ones, or adaptation."""
    if "adapt" in method:
        return _adapted
    return _supervised if "train" in method else PREDICTORS[method["family"]]


def version_of(method: Mapping[str, Any]) -> int:
    """Version of the algorithms that give a method's predictions."""
    if "adapt" in method:
        return versions.ADAPTATION
    if "train" in method:
        return versions.SUPERVISED
    return versions.PROBE if method["family"] in PRETRAINED_FAMILIES else versions.BASELINES
