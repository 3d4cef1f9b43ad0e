"""A fold's saved model and the patients it was not trained on: what their tokens were assigned to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import not_trained_on
from mirrorflow.errors import InputError
from mirrorflow.expression.gene_sets import count_sets, parse_gene_sets
from mirrorflow.learners.network import evaluation_tokens, network_again, read_out
from mirrorflow.learners.saved import RawUnits, SavedModel, load_trained
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.models.tta import Tta, TtaOutput
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.probes.task import SurvivalPrediction
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.expression import read_expression, read_names
from mirrorflow.store.gene_lists import read_list
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.model_files import stored_config
from mirrorflow.store.tables import read_cohort, read_fold
from mirrorflow.training.supervised import Units, outputs_of

TASK = "survival"
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How near a risk has to be to the stored one: threads add up in another order, other features are further off."""


@dataclass(frozen=True)
class Data:
    """Where the data of the evaluation units and the split files of the folds lie, and what a unit is."""

    cohort: Path
    manifest: Path
    index: Path
    expression: Path
    unit: str
    gene_sets: Path | None = None
    splits: Sequence[Path] = ()


@dataclass(frozen=True)
class Seen:
    """What the model made of one unit; tensors as arrays.

    softmax, plan [patch, prototype] (plan: times the number of tokens; None where there is none); pathways
    [pathway, prototype]: weights of the pooling; pooled and, with a refiner, refined: tokens [prototype, width] of
    slides and of RNA.
    """

    softmax: np.ndarray
    plan: np.ndarray | None
    pathways: np.ndarray
    pooled: tuple[np.ndarray, ...]
    refined: tuple[np.ndarray, ...] | None


@dataclass(frozen=True)
class Evaluated:
    """A fold's model and its evaluation units.

    units: frame of units with ``risk``; pathways: their names; prototypes [bank, prototype, width], of length 1;
    weights [unit, pathway, prototype] of the pathways; seen: what the model made of the units at these positions.
    """

    fold: int
    seed: int
    units: pd.DataFrame
    pathways: list[str]
    prototypes: np.ndarray
    weights: np.ndarray
    seen: Mapping[int, Seen]


def first_model(manifest: Path) -> tuple[Path, LabelledModel]:
    """Folder of the survival model of the first seed and fold that the manifest names, of all training data.

    Raises InputError where there is none, or where another model lies in its place.
    """
    record = read_manifest(manifest)
    found = {Path(folder): LabelledModel.parse(Path(folder) / "config.json") for folder in record.models}
    mine = {folder: place for folder, place in found.items() if place.task == TASK and place.setting == ALL_DATA}
    if not mine:
        message = f"{manifest}: names no model of survival ({record.why_without(TASK) or 'none was trained'})"
        raise InputError(message)
    folder = min(mine, key=lambda one: (mine[one].seed, mine[one].fold))
    if stored_config(folder).get("digest") != record.models[str(folder)]:
        message = f"{folder}: not the model that {manifest} names; delete that manifest and run again"
        raise InputError(message)
    return folder, mine[folder]


def evaluated_units(data: Data, place: LabelledModel) -> pd.DataFrame:
    """Units that the model predicted, in the order of its predictions, with ``risk``."""
    frame = read_cohort(data.cohort)[0]
    rows = pd.concat([one.rows for one in read_task(read_manifest(data.manifest), TASK, frame)], ignore_index=True)
    mine = rows[(rows["setting"] == ALL_DATA) & (rows["seed"] == place.seed) & (rows["fold"] == place.fold)]
    names = mine["patient"] if data.unit == "patient" else mine["slide_id"]
    units = to_units(frame, data.unit).set_index("unit", drop=False).loc[names.tolist()].reset_index(drop=True)
    return units.assign(risk=mine["risk"].to_numpy(float))


def held_out(data: Data, units: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The units on whose patients the fold was not trained."""
    folds = {fold: read_fold(data.splits[fold])} if data.splits else {}
    return units[not_trained_on(units.assign(fold=fold), folds)].reset_index(drop=True)


def by_half(risk: np.ndarray) -> dict[str, list[int]]:
    """Positions of the units of each half (``high``: above the median), those nearest to its own median first.

    risk [unit]; of two as near the earlier is first. A half without a unit is left out.
    """
    found = {}
    for name, mine in (("high", risk > np.median(risk)), ("low", risk <= np.median(risk))):
        at = np.flatnonzero(mine)
        if len(at):
            distance = np.abs(risk[at] - np.median(risk[at]))
            found[name] = at[np.argsort(distance, kind="stable")].tolist()
    return found


def look_at(
    data: Data,
    wanted: Sequence[int],
    units: pd.DataFrame,
    files: Sequence[Sequence[Path]],
    folder: Path,
    place: LabelledModel,
) -> Evaluated:
    """The evaluation units seen by the saved model in ``folder``; of those at the positions ``wanted`` all is kept.

    files: of each unit's bag.
    Raises InputError where their risks are not the stored ones: features or expression are others than they were.
    """
    saved = load_trained(folder)
    network = network_again(saved.arrays, saved.config)
    assert isinstance(network, Tta)
    asked = _raw(saved, data, units, files).capped(evaluation_tokens(saved.config))
    seen, weights, logits = {}, [], []
    for number, out in enumerate(_outputs(network, asked)):
        one = _seen(out)
        weights.append(one.pathways)
        logits.append(out.logits)
        if number in wanted:
            seen[number] = one
    _hold_risks(saved, torch.cat(logits).double(), units)
    prototypes = F.normalize(network.space.prototypes.detach(), dim=-1).numpy()
    names = pathway_names(data, saved)
    return Evaluated(place.fold, place.seed, units, names, prototypes, np.stack(weights), seen)


def _outputs(network: Tta, units: Units) -> Iterator[TtaOutput]:
    for out in outputs_of(network, units, device="cpu"):
        assert isinstance(out, TtaOutput)
        yield out


def _raw(saved: SavedModel, data: Data, units: pd.DataFrame, files: Sequence[Sequence[Path]]) -> Units:
    patients = sorted(set(units["patient"]))
    values = read_expression(str(data.expression), patients=patients, genes=saved.genes).values
    row = {patient: number for number, patient in enumerate(patients)}
    expression = values[[row[patient] for patient in units["patient"]]]
    bags = FeatureBags(files, cache_gb=0, names=units["unit"].tolist())
    return saved.prepare(RawUnits(units, bags, expression))


def _seen(out: TtaOutput) -> Seen:
    assert out.parts is not None
    assert out.plans is not None
    assert out.weights is not None
    assert out.embedded is not None
    pooled = [weight.transpose(1, 2) @ tokens for weight, tokens in zip(out.weights, out.embedded, strict=True)]
    plan = _array(out.plans[0])
    return Seen(
        softmax=_array(out.parts[0].logits.softmax(-1)),
        plan=plan if plan.any() else None,
        pathways=_array(out.weights[1]),
        pooled=tuple(map(_array, pooled)),
        refined=None if out.refined is None else tuple(map(_array, out.refined)),
    )


def _array(of_one: Tensor) -> np.ndarray:
    return of_one[0].float().cpu().numpy()


def _hold_risks(saved: SavedModel, logits: Tensor, units: pd.DataFrame) -> None:
    prediction: Any = read_out(saved.arrays, saved.config, logits)
    assert isinstance(prediction, SurvivalPrediction)
    apart = ~np.isclose(prediction.risk, units["risk"].to_numpy(float), RELATIVE, ABSOLUTE)
    if apart.any():
        message = (
            f"{saved.folder}: gives {units['unit'][apart].iloc[0]} another risk than its predictions file; features or "
            "expression changed since: delete the method's manifest.json and run again"
        )
        raise InputError(message)


def pathway_names(data: Data, saved: SavedModel) -> list[str]:
    """Names of the pathways that the model has tokens of, in its order; ``group 1``, ... of random groups of genes."""
    count = len(saved.config["sizes"]["gene_sets"])
    if data.gene_sets is None:
        return [f"group {number + 1}" for number in range(count)]
    sets = parse_gene_sets(read_list(data.gene_sets, "gene_sets"), where=str(data.gene_sets))
    names = count_sets(sets, read_names(str(data.expression))[2]).kept
    if len(names) != count:
        message = (
            f"{data.gene_sets}: {len(names)} sets have genes in the matrix, the model in {saved.folder} has {count}; "
            "delete the method's manifest.json and run again"
        )
        raise InputError(message)
    return names
