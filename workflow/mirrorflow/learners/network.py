"""A network's answer to one fold task: built, trained on labels, its epoch chosen, units predicted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mirrorflow.config.bounds import check_cox_batches
from mirrorflow.config.modules import optional_part_of
from mirrorflow.learners.base import Checkpoint, Trained
from mirrorflow.learners.epochs import EpochRisks
from mirrorflow.learners.inputs.bagged import FoldBags
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.seam import Objective
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.hazards import curve_risk, survival_curve
from mirrorflow.probes.objective import (
    Cox,
    CrossEntropy,
    Hazards,
    TaskObjective,
    judge_of,
    stored_readout,
    target_tensors,
)
from mirrorflow.probes.task import EpochRule, Prediction
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.model_files import part_of_arrays
from mirrorflow.store.models import load_own_checkpoint, save_checkpoint
from mirrorflow.training.devices import kind_of
from mirrorflow.training.keeping import Keeper
from mirrorflow.training.seeds import fold_seed
from mirrorflow.training.supervised import (
    Hooks,
    LabelledUnits,
    SupervisedSettings,
    Units,
    predict_units,
    train_supervised,
)
from mirrorflow.training.trainer import OnEpoch, TrainingState

NETWORK, READOUT = "network.", "readout."
"""What the names of a network's weights, and of what its readout was fitted to, begin with."""

OF_THE_OBJECTIVE = ("label_smoothing", "alpha", "survival", "ties")


@dataclass(frozen=True)
class TrainKeys:
    """A method's section ``train``, shared out: how it is trained, what it minimises."""

    settings: SupervisedSettings
    objective: Mapping[str, Any]

    @classmethod
    def of(cls, train: Mapping[str, Any], seed: int) -> "TrainKeys":
        """From the resolved config."""
        settings = SupervisedSettings(**train, seed=seed)
        return cls(settings, {key: getattr(settings, key) for key in OF_THE_OBJECTIVE})


def train_and_predict(
    inputs: FoldBags,
    fold_task: FoldTask,
    method: Mapping[str, Any],
    rule: EpochRule,
    *,
    checkpoint: Checkpoint | None = None,
    device: str = "auto",
) -> Trained:
    """Train the method's network on the fold task's training units and predict its evaluation units.

    The last epoch is reported, or what ``rule`` says. An epoch is one of a schedule: epoch 7 of 20 has the same
    learning rate (as a share of all steps) whether training goes on after it or not, and whether it is a part of the
    training units that is passed over or all of them. So an epoch chosen on inner folds is the same point of the
    same schedule when the whole fold is trained on, though it has more steps there.
    """
    keys = TrainKeys.of(method["train"], fold_seed(fold_task.seed, fold_task.fold))
    passes = keys.settings.passes_for(rule.units or len(inputs.train))
    settings = replace(keys.settings, passes=passes, min_steps=0)
    task = task_objective(fold_task, **keys.objective)
    if task.by_event:
        check_cox_batches(settings.survival, settings.batch_size)
    sizes = Sizes(inputs.patch_dim, inputs.train.genes.shape[1], task.outputs, inputs.gene_sets)
    network = build_network(method["family"], sizes, method["network"], settings.seed)
    if inputs.moments is not None:
        network.scale_patches(*map(torch.from_numpy, inputs.moments))
    network.take_fitted({name: torch.from_numpy(np.asarray(array)) for name, array in inputs.own.items()})

    known, asked = (part.capped(settings.evaluation_tokens) for part in (inputs.train, inputs.evaluation))

    def training_logits() -> Tensor:
        return predict_units(network, known, device=device)

    def predict(epoch: int) -> Prediction:
        readout = task.readout(training_logits)
        return readout.predict(predict_units(network, asked, device=device), epoch)

    label = f"{method['family']} {fold_task.task} fold {fold_task.fold} {fold_task.setting}"
    objective = objective_of(method["family"], network, task)
    labelled = LabelledUnits(inputs.train, target_tensors(fold_task.train), objective, by_event=task.by_event)
    resumed = load_own_checkpoint(checkpoint.folder, checkpoint.made_from) if checkpoint else None
    last = min(rule.stop_after or settings.epochs, settings.epochs)
    written = _epoch_risks(checkpoint, fold_task, keys, lambda: predict_units(network, asked, device=device))
    with _keeper(checkpoint, device) as keeper:
        told = _reporter(label, last, resumed, keeper, written)
        hooks = Hooks(resumed, told, judge_of(rule, predict), rule.stop_after)
        trainer = train_supervised(network, labelled, settings, hooks, label=label, device=device)
    weights = {f"{NETWORK}{name}": tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
    fitted = {f"{READOUT}{name}": array for name, array in task.readout(training_logits).arrays().items()}
    made_with = {"kind": "network", "network": dict(method["network"]), "sizes": asdict(sizes)}
    return Trained(predict(trainer.reported), weights | fitted, made_with, trainer.history)


def task_objective(
    fold_task: FoldTask, *, label_smoothing: float, alpha: float, survival: str, ties: str
) -> TaskObjective:
    """Cross-entropy for classes; for survival discrete hazards, or Cox over each batch."""
    if fold_task.edges is None:
        return CrossEntropy(len(fold_task.classes), label_smoothing)
    if survival == "hazards":
        return Hazards(len(fold_task.edges) - 1, alpha)
    return Cox(fold_task.train, np.asarray(fold_task.bin_ends, float), ties)  # type: ignore[arg-type]


def objective_of(family: str, network: SupervisedNetwork, task: TaskObjective) -> Objective:
    """The task's objective, or what the family's module makes of it."""
    own = optional_part_of("models", family, "objective")
    return task if own is None else own(network, task)


def _keeper(checkpoint: Checkpoint | None, device: str) -> Keeper:
    """Writes checkpoints, where there is a place for them: every five seconds, on a GPU about once a minute."""

    def save(state: TrainingState) -> None:
        if checkpoint is not None:
            save_checkpoint(checkpoint.folder, state, checkpoint.made_from)

    return Keeper(save, beside=checkpoint is not None and kind_of(device) == "cuda")


def _epoch_risks(
    checkpoint: Checkpoint | None, fold_task: FoldTask, keys: TrainKeys, logits: Callable[[], Tensor]
) -> EpochRisks | None:
    """Where risks of each epoch are written; None where they are not asked for, or no model is kept."""
    if not keys.settings.every_epoch or checkpoint is None or fold_task.edges is None:
        return None

    def risks() -> np.ndarray:
        found = logits().double()
        return (
            found.squeeze(1).numpy() if keys.settings.survival == "cox" else curve_risk(survival_curve(found)).numpy()
        )

    return EpochRisks(checkpoint.folder, fold_task.evaluation.units, risks)


def _reporter(
    label: str, epochs: int, resumed: TrainingState | None, keeper: Keeper, written: EpochRisks | None
) -> OnEpoch:
    progress = Progress(label, epochs, "epochs", kept=0 if resumed is None else resumed.epoch)
    if written is not None:
        written.go_on_from(0 if resumed is None else resumed.epoch)

    def report(state: TrainingState, row: Mapping[str, float]) -> None:
        if written is not None:  # before the state: a killed training goes on from an epoch whose risks are there
            written.add(state.epoch)
        if state.epoch < epochs:
            keeper.keep(state)
        progress.step(note=f"loss {row['total']:.3f}")

    return report


def network_again(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> SupervisedNetwork:
    """The network that :func:`train_and_predict` trained, from its arrays and config."""
    given = config["sizes"]
    sizes = Sizes(**{**given, "gene_sets": tuple(map(tuple, given["gene_sets"]))})
    network = build_network(config["family"], sizes, config["network"], seed=0)
    network.load_state_dict({name: torch.tensor(array) for name, array in part_of_arrays(arrays, NETWORK).items()})
    return network


def evaluation_tokens(config: Mapping[str, Any]) -> int | None:
    """How many patches of a bag such a model's prediction looks at; None: at all."""
    return config["settings"]["train"].get("evaluation_tokens")


def read_out(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], logits: Tensor) -> Prediction:
    """What these logits [unit, output] predict, by the model's own readout."""
    readout = stored_readout(part_of_arrays(arrays, READOUT), survival=config["task"] == "survival")
    return readout.predict(logits, config["epoch"])


def predict_again(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], units: Units) -> Prediction:
    """What :func:`train_and_predict` predicted of ``units``, from its arrays and config."""
    seen = units.capped(evaluation_tokens(config))
    return read_out(arrays, config, predict_units(network_again(arrays, config), seen))
