"""What is trained again on outcomes dealt out anew among the training units: a head, a network trained on labels."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mirrorflow.learners.differentiable import Differentiable, Head, of_network, random_network
from mirrorflow.learners.network import READOUT, TrainKeys, objective_of, task_objective
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.supervised import SupervisedNetwork
from mirrorflow.probes.linear_head import HeadSettings, fit_head
from mirrorflow.probes.objective import target_tensors
from mirrorflow.probes.task import EpochRule, Targets
from mirrorflow.training.seeds import fold_seed
from mirrorflow.training.supervised import Hooks, LabelledUnits, Units, predict_units, train_supervised


def dealt(targets: Targets, seed: int) -> Targets:
    """The targets dealt out anew among their units; what belongs to one unit (time, event, bin) stays together."""
    order = np.random.default_rng(seed).permutation(len(targets))
    values = {name: getattr(targets, name) for name in ("classes", "time_days", "event", "bins")}
    return replace(targets, **{name: array[order] for name, array in values.items() if array is not None})


def permuted_head(train: np.ndarray, targets: Targets, config: Mapping[str, Any], seed: int) -> Head:
    """A head trained on the vectors [draw, unit, feature] with the units' outcomes dealt out anew, to the saved model's
    epoch (``config``).
    """
    probe = config["settings"]["probe"]
    settings = HeadSettings.of_probe(probe, config["task"], config["seed"])
    outputs = probe["survival_bins"] if config["task"] == "survival" else len(config["classes"])
    rule = EpochRule(stop_after=config["epoch"])
    made = fit_head(train, train[:, :1], dealt(targets, seed), outputs, settings, rule)
    return Head.of_arrays({name: np.asarray(array) for name, array in made.arrays.items()})


def permuted_network(
    network: SupervisedNetwork, units: Units, targets: Targets, config: Mapping[str, Any], seed: int
) -> Differentiable:
    """A network as ``network`` was before its training, trained as it was, on the units' outcomes dealt out anew.

    What was fitted without labels (scaling, prototypes) stays. The training ends with the saved model's epoch
    (``config``). Raises InputError and MirrorflowError as ``train_supervised`` does.
    """
    fold_task = _fold_task(dealt(targets, seed), config)
    keys = TrainKeys.of(config["settings"]["train"], fold_seed(config["seed"], config["fold"]))
    passes = keys.settings.passes_for(len(units))
    settings = replace(keys.settings, passes=passes, min_steps=0)
    task = task_objective(fold_task, **keys.objective)
    made = random_network(network, config, settings.seed)
    objective = objective_of(config["family"], made, task)
    labelled = LabelledUnits(units, target_tensors(fold_task.train), objective, by_event=task.by_event)
    label = f"{config['family']} {config['task']} fold {config['fold']} permuted"
    train_supervised(made, labelled, settings, Hooks(stop_after=config["epoch"]), label=label, device="cpu")
    readout = task.readout(lambda: predict_units(made, units.capped(settings.evaluation_tokens), device="cpu"))
    return of_network(made, {f"{READOUT}{name}": array for name, array in readout.arrays().items()}, config)


def _fold_task(train: Targets, config: Mapping[str, Any]) -> FoldTask:
    """The saved model's fold task with other targets."""
    edges = ends = None
    if config["task"] == "survival":
        edges, ends = np.array([*config["bin_edges_days"], np.inf]), np.array(config["bin_ends_days"], float)
    where = (config["task"], config["fold"], config["setting"], config["seed"])
    return FoldTask(*where, train, train, list(config.get("classes", ())), edges, ends, None, [])
