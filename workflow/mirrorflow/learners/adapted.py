"""Adaptation of a pretrained method to another cohort: new RNA embedding and head, trained and judged by fold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mirrorflow.cohorts.splits import Fold
from mirrorflow.learners.base import Recipe, Trained
from mirrorflow.learners.inputs.vectors import Embedded, PooledInputs
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.adaptation import renew_rna_embedding
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.probes.linear_head import HeadSettings, moments
from mirrorflow.probes.objective import (
    CrossEntropy,
    Hazards,
    TaskObjective,
    judge_of,
    readout_of,
    stored_readout,
    target_tensors,
)
from mirrorflow.probes.task import EpochRule, Prediction
from mirrorflow.store.digest import digest
from mirrorflow.store.model_files import part_of_arrays
from mirrorflow.store.models import load_model, model_digest
from mirrorflow.training.adaptation import (
    AdaptationSettings,
    AdaptedModel,
    AdaptedTargets,
    AdaptedUnits,
    predict_adapted,
    train_adapted,
)
from mirrorflow.training.seeds import fold_seed

MODEL, SLIDE_SCALER = "model.", "slide_scaler."
"""What the names of weights, and of what standardises slide vectors, begin with."""


@dataclass(frozen=True)
class AdaptedVectors:
    """What one fold task is answered from: the source's network and the target's units."""

    network: PairedNetwork
    train: AdaptedUnits
    evaluation: AdaptedUnits
    fitted: Mapping[str, str] = field(default_factory=dict)
    """As that of :class:`~mirrorflow.learners.inputs.vectors.FoldVectors`."""
    recipe: Recipe = field(default_factory=Recipe)
    """How they are made of other units' data."""


@dataclass
class AdaptedInputs:
    """Slide vectors of the source's slide encoder, and the target's own genes, scaled by its training patients."""

    slides: Embedded
    rna: PooledInputs
    models: Mapping[tuple[int, int], Path]
    """(seed, fold) -> folder of the source's model."""
    _open: dict[tuple[int, int], PairedNetwork] = field(default_factory=dict)

    def digest(self, fold_number: int) -> str:
        """From the fold's slide vectors and models of all seeds, expression and genes."""
        models = {str(key): model_digest(path) for key, path in self.models.items() if key[1] == fold_number}
        parts = {"slides": self.slides.digest(fold_number), "rna": self.rna.digest(fold_number), "models": models}
        return digest(parts)

    def seen(self, fold_number: int) -> dict[str, str]:
        """Digests of the target's features and expression matrix."""
        return self.slides.seen(fold_number) | self.rna.seen(fold_number)

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> AdaptedVectors:
        """The units' slide vectors and genes, with the source's network of this fold and seed."""
        asked = (fold, fold_number, seed, train, evaluation)
        slides, rna = self.slides.vectors(*asked), self.rna.vectors(*asked)
        key = (seed, fold_number)
        if key not in self._open:
            self._open = {key: load_model(self.models[key]).network}
        units = [AdaptedUnits(getattr(slides, side), getattr(rna, side)[0]) for side in ("train", "evaluation")]
        settings = {
            **{name: value for name, value in rna.recipe.settings.items() if name not in ("inputs", "pooling")},
            "kind": "adapted",
            **self.slides.made_with(seed, fold_number),
            "model": model_digest(self.models[key]),
            "model_folder": str(self.models[key]),
        }
        return AdaptedVectors(self._open[key], units[0], units[1], rna.fitted, Recipe(settings, rna.recipe.arrays))


def adapt_and_predict(
    inputs: AdaptedVectors,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    *,
    device: str = "auto",
) -> Trained:
    """Train RNA embedding and head on the fold task's training units and predict its evaluation units.

    method: ``probe`` (the config's section, for the head) and ``adapt`` (learning rate and weight decay of the
    embedding, dropout). The last epoch is reported; with a scorer in ``rule`` the one with the best score (the first of
    equals), the published choice, which the auditor calls a leak.
    """
    probe, seed = method["probe"], fold_seed(fold_task.seed, fold_task.fold)
    head = HeadSettings.of_probe(probe, fold_task.task, seed)
    settings = AdaptationSettings(
        epochs=head.epochs,
        batch_size=head.batch_size,
        learning_rate=head.learning_rate,
        weight_decay=head.weight_decay,
        drop_last=head.drop_last,
        seed=seed,
        **method["adapt"],
    )
    scaling = dict(zip(("mean", "deviation"), moments(inputs.train.slides), strict=True)) if head.standardize else {}
    train, evaluation = (standardized(units, scaling) for units in (inputs.train, inputs.evaluation))
    network = renew_rna_embedding(inputs.network, train.genes.shape[1], seed)
    objective: TaskObjective = Hazards(probe["survival_bins"])
    if fold_task.task == "subtyping":
        objective = CrossEntropy(len(fold_task.classes), head.label_smoothing)
    model = AdaptedModel(network, objective.outputs, seed)
    readout = readout_of(fold_task.train)

    def predict(epoch: int) -> Prediction:
        return readout.predict(predict_adapted(model, evaluation, draw=epoch - 1, device=device), epoch)

    trainer = train_adapted(
        model,
        AdaptedTargets(train, target_tensors(fold_task.train), objective),
        settings,
        label=f"adapt {method['family']} {fold_task.task} fold {fold_task.fold}",
        judge=judge_of(rule, predict),
        device=device,
    )
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    brought = inputs.network.state_dict()
    arrays = {f"{MODEL}{name}": tensor for name, tensor in weights.items() if not _is_sources(name, tensor, brought)}
    return Trained(
        predict(trainer.reported),
        arrays | {f"{SLIDE_SCALER}{name}": array for name, array in scaling.items()},
        {"kind": "adapted", "network": asdict(cast("Any", network.settings)), "outputs": model.head.out_features},
        trainer.history,
    )


def _is_sources(name: str, tensor: Tensor, brought: Mapping[str, Tensor]) -> bool:
    """Whether a weight is as the source's network has it: files leave it to the source's model."""
    stored = brought.get(name.removeprefix("network.")) if name.startswith("network.") else None
    return stored is not None and torch.equal(stored.cpu(), tensor)


def predict_again(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], source: PairedNetwork, units: AdaptedUnits
) -> Prediction:
    """What :func:`adapt_and_predict` predicted of ``units``, from its arrays and config and the source's network."""
    gene_count = units.genes.shape[1]
    model = AdaptedModel(renew_rna_embedding(source, gene_count, seed=0), config["outputs"], seed=0)
    own = {name: torch.tensor(array) for name, array in part_of_arrays(arrays, MODEL).items()}
    model.load_state_dict({**model.state_dict(), **own})
    scaled = standardized(units, part_of_arrays(arrays, SLIDE_SCALER))
    logits = predict_adapted(model, scaled, draw=config["epoch"] - 1)
    readout = stored_readout({}, survival=config["task"] == "survival")
    return readout.predict(logits, config["epoch"])


def standardized(units: AdaptedUnits, scaling: Mapping[str, Any]) -> AdaptedUnits:
    """Slide vectors by ``mean`` and ``deviation`` of the training units (empty: as they are).

    Those of the RNA are still to be learned.
    """
    if not scaling:
        return units
    return AdaptedUnits((units.slides - scaling["mean"]) / scaling["deviation"], units.genes)
