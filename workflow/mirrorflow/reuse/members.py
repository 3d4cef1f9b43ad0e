"""One trained model of a run and new units: what it needs of them, whom it can answer, what it predicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.learners.inputs.vectors import RNA_SCALER
from mirrorflow.learners.saved import RawUnits, SavedModel
from mirrorflow.probes.task import Prediction
from mirrorflow.reuse.columns import asks_sheet, require_columns, without_numbers
from mirrorflow.reuse.genes import MatchedGenes, match_genes, require_genes
from mirrorflow.reuse.patients import KeptArrays, NewPatients
from mirrorflow.reuse.scale import judged

if TYPE_CHECKING:  # classical methods do without torch
    from mirrorflow.store.models import StoredModel

SLIDES, RNA = "slides", "rna"


@dataclass
class Memory:
    """What models of one call share: the pretrained networks, and the units' embeddings by each."""

    pretrained: "dict[Path, StoredModel]" = field(default_factory=dict)
    vectors: dict[tuple[Any, ...], np.ndarray] = field(default_factory=dict)
    kept: KeptArrays = field(default_factory=KeptArrays)


@dataclass(frozen=True)
class Answer:
    """Prediction of ``units`` (in this order), who was left out and why, and what is worth telling."""

    units: pd.DataFrame
    prediction: Prediction | None
    left_out: dict[str, str]
    genes_missing: tuple[str, ...] | None = None
    """Genes that the matrix lacks; None where nobody's genes were looked at."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Unit -> genes of the model without a value for it, where the matrix has them; units without any are left out."""
    without_version: int = 0
    """Genes that met only without their version."""
    distances: Mapping[str, float] = field(default_factory=dict)
    """Unit -> how far its median gene stands from the training mean, in training deviations; empty without a scaler."""


def needs(saved: SavedModel) -> set[str]:
    """What a model asks of a unit: of slides and rna."""
    inputs = saved.config["inputs"]
    if inputs["kind"] in ("embedded", "adapted"):
        return {SLIDES, RNA}
    return set(inputs.get("inputs", ())) & {SLIDES, RNA}


def answer(saved: SavedModel, units: pd.DataFrame, patients: NewPatients, most: float, memory: Memory) -> Answer:
    """Predict the ``units`` that have what the model needs.

    most: share of the model's genes that may be missing. Raises InputError where nobody could be answered for one
    reason: genes of another kind, another scale, a column that is not in the sheet.
    """
    wanted = needs(saved)
    has = {SLIDES: patients.has_slides(units), RNA: patients.has_expression(units)}
    ready = np.logical_and.reduce([np.ones(len(units), bool), *(has[what] for what in wanted)])
    lacks = {row: [what for what in sorted(wanted) if not has[what][row]] for row in np.flatnonzero(~ready)}
    left_out = {str(units["unit"].iloc[row]): _why(what, units.iloc[row], patients) for row, what in lacks.items()}
    mine = units[ready].reset_index(drop=True)
    if mine.empty:
        return Answer(mine, None, left_out)
    require_columns(saved, mine)
    if asks_sheet(saved):
        unlisted = mine.loc[mine["patient"].isin(patients.unlisted), "unit"]
        left_out |= dict.fromkeys(unlisted.astype(str), "no row in the sheet of patients")
    left_out |= without_numbers(saved, mine)
    mine = mine[~mine["unit"].astype(str).isin(left_out)].reset_index(drop=True)
    if mine.empty:
        return Answer(mine, None, left_out)
    if saved.config["inputs"]["kind"] in ("embedded", "adapted"):
        return _of_pretrained(saved, mine, patients, most, memory, left_out)
    seen = None
    if saved.genes:
        seen = _expression_of(saved.genes, saved.fitted(RNA_SCALER), mine, patients, most, left_out)
        mine = seen.units
        if mine.empty:
            return seen.answer(None, left_out)
    bags = _bags(mine, patients, memory) if SLIDES in wanted else None
    raw = RawUnits(mine, bags, seen.values if seen else None)
    prediction = saved.predict(saved.prepare(raw))
    return seen.answer(prediction, left_out) if seen else Answer(mine, prediction, left_out)


_NAMES = {SLIDES: "features of slides", RNA: "expression"}


def _why(lacks: list[str], unit: pd.Series, patients: NewPatients) -> str:
    other = patients.other_scale.get(unit["patient"]) if lacks == [RNA] else None
    if other:
        return f"expression on another scale: {other}"
    return f"no {' and no '.join(_NAMES[what] for what in lacks)}"


def _of_pretrained(
    saved: SavedModel,
    units: pd.DataFrame,
    patients: NewPatients,
    most: float,
    memory: Memory,
    left_out: dict[str, str],
) -> Answer:
    from mirrorflow.expression.scaling import RnaScaler
    from mirrorflow.reuse.embedding import embed_new, pretraining_genes, source_of

    stored = source_of(saved, memory.pretrained)
    adapted = saved.config["inputs"]["kind"] == "adapted"
    scaler: Mapping[str, np.ndarray] = saved.fitted(RNA_SCALER) if adapted else stored.rna_scaler
    ids = saved.genes if adapted else pretraining_genes(saved, stored)
    seen = _expression_of(ids, scaler if was_fitted(scaler) else {}, units, patients, most, left_out)
    units = seen.units
    if units.empty:
        return seen.answer(None, left_out)
    key = (saved.source_folder(), adapted, repr(saved.config["inputs"]["embeddings"]), tuple(units["unit"]))
    if key not in memory.vectors:
        genes = None if adapted else RnaScaler.from_arrays(stored.rna_scaler).transform(seen.values)
        bags, names = _bags(units, patients, memory), units["unit"].tolist()
        memory.vectors[key] = embed_new(saved, stored, bags, genes, names)
    raw = RawUnits(units, None, seen.values, memory.vectors[key])
    return seen.answer(saved.predict(saved.prepare(raw)), left_out)


def was_fitted(scaler: Mapping[str, np.ndarray]) -> bool:
    """Whether a scaler learned anything: under ``rna_scaling: none`` means are 0 and deviations 1."""
    return bool(scaler) and bool(np.any(scaler["mean"] != 0))


@dataclass(frozen=True)
class Seen:
    """What a model sees of the units that it can answer: its genes [unit, gene] unscaled.

    distances: as those of :class:`Answer`.
    """

    units: pd.DataFrame
    genes: MatchedGenes
    distances: Mapping[str, float] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """[unit, gene] unscaled, NaN where unknown."""
        return self.genes.values

    def answer(self, prediction: Prediction | None, left_out: dict[str, str]) -> Answer:
        """The answer of a model that sees genes."""
        genes = self.genes
        lost = np.isnan(genes.values).sum(1) - len(genes.missing)
        unknown = {str(unit): int(count) for unit, count in zip(self.units["unit"], lost, strict=True) if count}
        return Answer(self.units, prediction, left_out, genes.missing, unknown, genes.without_version, self.distances)


def _expression_of(
    ids: list[str],
    scaler: Mapping[str, np.ndarray],
    units: pd.DataFrame,
    patients: NewPatients,
    most: float,
    left_out: dict[str, str],
) -> Seen:
    """Units that have enough of the genes, on training's scale; the others go to ``left_out``.

    Raises InputError where the sheet lacks too many genes altogether, or is on another scale.
    """
    matched, units = _with_genes(ids, units, patients, most, left_out)
    scale = judged(matched.values, scaler)
    if scale is None:
        return Seen(units, matched)
    names, faults = units["unit"].astype(str), scale.faults()
    left_out |= {names.iloc[row]: f"expression on another scale: {why}" for row, why in faults.items()}
    kept = ~np.isin(np.arange(len(units)), list(faults))
    distances = dict(zip(names[kept], map(float, scale.distance[kept]), strict=True))
    found = replace(matched, values=matched.values[kept])
    return Seen(units[kept].reset_index(drop=True), found, distances)


def _with_genes(
    ids: list[str], units: pd.DataFrame, patients: NewPatients, most: float, left_out: dict[str, str]
) -> tuple[MatchedGenes, pd.DataFrame]:
    """Expression of the units that have enough of the genes, and these units; the others go to ``left_out``.

    Raises InputError where the sheet lacks too many genes altogether.
    """
    expression = patients.expression
    if expression is None:
        message = "the model needs expression; give an expression sheet"
        raise InputError(message)
    matched = match_genes(ids, expression)
    require_genes(matched, len(ids), most, expression)
    row = {name: number for number, name in enumerate(expression.patients)}
    values = matched.values[[row[name] for name in units["patient"]]]
    unknown = np.isnan(values).mean(1)
    for unit, share in zip(units["unit"], unknown, strict=True):
        if share > most:
            left_out[str(unit)] = f"{share:.0%} of the model's genes have no value (at most {most:.0%} may be missing)"
    kept = unknown <= most
    return replace(matched, values=values[kept]), units[kept].reset_index(drop=True)


def _bags(units: pd.DataFrame, patients: NewPatients, memory: Memory) -> Any:
    return patients.bags(units, memory.kept)
