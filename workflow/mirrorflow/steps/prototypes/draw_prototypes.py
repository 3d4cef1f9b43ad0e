"""Rule draw_prototypes: what a TTA model's prototypes are, and where its patches and pathways go (Figures 7 to 11)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mirrorflow.learners.inputs.bagged import bag_files
from mirrorflow.learners.network import evaluation_tokens
from mirrorflow.plan.prototypes import PrototypesFolder
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.job import Job
from mirrorflow.steps.prototypes.evaluated import Data, by_half, evaluated_units, first_model, held_out, look_at
from mirrorflow.steps.prototypes.pictures import KIND, Case, no_places, tasks_of
from mirrorflow.steps.prototypes.slide_tiles import SlidePart, slide_part
from mirrorflow.steps.results.figure_files import Drawing, LeftOut, draw_all
from mirrorflow.steps.results.figure_tasks import left_out
from mirrorflow.store.model_files import stored_config


@dataclass(frozen=True)
class Inputs:
    """The cohort, the method's manifest, and what its model sees; the ledger, beside whose folder thumbnails lie;
    split files of the folds.
    """

    cohort: Path
    manifest: Path
    index: Path
    expression: Path
    gene_sets: Path | None = None
    ledger: Path | None = None
    splits: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """The figures, the tables behind them, and their captions in ``figures.json``."""

    folder: Path


@dataclass(frozen=True)
class Params:
    """The protocol; what the method's predictions are planned with."""

    protocol: Mapping[str, Any]
    planned: list[Mapping[str, Any]] = field(default_factory=list)


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Draw what the prototypes of a method are."""
    hold_predictions(params.planned)
    torch.set_num_threads(job.threads)
    data = Data(
        inputs.cohort,
        inputs.manifest,
        inputs.index,
        inputs.expression,
        params.protocol["unit"],
        inputs.gene_sets,
        inputs.splits,
    )
    overlays = inputs.ledger.parent / "overlays" if inputs.ledger else None
    draw_prototypes(data, overlays, outputs.folder)


def draw_prototypes(data: Data, overlays: Path | None, folder: Path) -> list[Drawing | LeftOut]:
    """Draw the figures of the first fold's model into ``folder``; ``overlays``: the store's thumbnails, if it has them.

    Where the fold was trained on all whom it evaluates, that stands for the figures. Raises InputError where no model
    is kept, or where it does not give its stored predictions.
    """
    place = PrototypesFolder.parse(folder)
    model, where = first_model(data.manifest)
    predicted = evaluated_units(data, where)
    units = held_out(data, predicted, where.fold)
    if units.empty:
        why = f"fold {where.fold} was trained on the patients of all {len(predicted)} evaluation units"
        return draw_all([left_out("prototypes", KIND, why)], place.cohort, folder, "draw_prototypes")
    halves = by_half(units["risk"].to_numpy(float))
    files = bag_files(data.index, units)
    chosen = {half: order[0] for half, order in halves.items()}
    looked_at = evaluation_tokens(stored_config(model))
    parts = {half: first_with_places(order, units, files, looked_at, overlays) for half, order in halves.items()}
    wanted = {*chosen.values(), *(found[0] for found in parts.values() if found)}
    evaluated = look_at(data, sorted(wanted), units, files, model, where)
    maps = {half: found or no_places(half, len(halves[half]), data.index) for half, found in parts.items()}
    return draw_all(
        list(tasks_of(Case(place, evaluated, chosen, maps, len(predicted) - len(units)))),
        place.cohort,
        folder,
        "draw_prototypes",
    )


def first_with_places(
    order: Sequence[int],
    units: pd.DataFrame,
    files: Sequence[Sequence[Path]],
    looked_at: int | None,
    overlays: Path | None,
) -> tuple[int, SlidePart] | None:
    """The first unit in ``order`` with a slide whose patches have places, and that slide; None where there is none."""
    for at in order:
        part = slide_part(units["slide_ids"].iloc[at], files[at], looked_at, overlays)
        if part is not None:
            return at, part
    return None
