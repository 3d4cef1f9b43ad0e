"""One trained model for use from Python: arrays and tables in, vectors and predictions out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.vectors import RNA_SCALER
from mirrorflow.learners.saved import RawUnits, SavedModel
from mirrorflow.probes.task import SubtypePrediction
from mirrorflow.reuse.columns import columns_of, require_numbers
from mirrorflow.reuse.genes import match_genes, require_genes
from mirrorflow.reuse.members import RNA, SLIDES, needs, was_fitted
from mirrorflow.reuse.scale import judged
from mirrorflow.store.expression import Expression

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class RunModel:
    """A model of a fold. ``saved``: its arrays and config, as its files have them."""

    saved: SavedModel

    @property
    def task(self) -> str:
        """subtyping or survival."""
        return str(self.saved.config["task"])

    @property
    def classes(self) -> list[str]:
        """Classes in the order of the columns; empty for survival."""
        return list(self.saved.config.get("classes", ()))

    @property
    def needs(self) -> list[str]:
        """What :meth:`predict` asks for: of slides and rna; columns of the sheet for clinical and site methods."""
        inputs = self.saved.config["inputs"]
        columns = [*inputs.get("numeric", ()), *inputs.get("categories", ())] if inputs["kind"] == "clinical" else []
        return [*sorted(needs(self.saved)), *columns, *(["site"] if inputs["kind"] == "site" else [])]

    @property
    def genes(self) -> list[str]:
        """Ids of the genes that the model sees, in its order; empty where it sees none."""
        if self._pretrained:
            from mirrorflow.reuse.embedding import pretraining_genes

            adapted = self.saved.config["inputs"]["kind"] == "adapted"
            return self.saved.genes if adapted else pretraining_genes(self.saved, self.saved.source_model())
        return self.saved.genes

    @property
    def network(self) -> "nn.Module":
        """The torch module: of a network trained on labels, or the pretrained one behind a head, in evaluation mode.

        Raises InputError for a classical method, which has none.
        """
        if self._pretrained:
            return self.saved.source()
        if self.saved.config["kind"] != "network":
            message = f"{self.saved.config['method']} is a classical method: it has arrays (saved.arrays), no network"
            raise InputError(message)
        from mirrorflow.learners.network import network_again

        return network_again(self.saved.arrays, self.saved.config).eval()

    @property
    def _pretrained(self) -> bool:
        return self.saved.config["inputs"]["kind"] in ("embedded", "adapted")

    def embed(
        self, units: Sequence[str], bags: Sequence[np.ndarray], expression: pd.DataFrame | None = None
    ) -> np.ndarray:
        """Vectors of units by the pretrained network behind the model: [unit, width] float32, draws averaged.

        units: names, from which the drawn patches follow. bags: float32 [patch, feature] of each, as the encoder gives
        them, unscaled. expression: unscaled [unit, gene], units as index and ids as columns; slide and RNA vectors then
        stand side by side. Raises InputError for a method without a pretrained network, and as :meth:`predict`.
        """
        if not self._pretrained:
            message = f"{self.saved.config['method']} has no pretrained network to embed with; predict() asks it itself"
            raise InputError(message)
        return self._vectors(list(units), self._bags(units, bags), expression).mean(0)

    def predict(
        self,
        units: Sequence[str],
        bags: Sequence[np.ndarray] | None = None,
        expression: pd.DataFrame | None = None,
        columns: pd.DataFrame | None = None,
        *,
        missing_genes: float = 0.1,
    ) -> pd.DataFrame:
        """What the model says of units, one row each by their names.

        units, bags, expression: as those of :meth:`embed`. columns: of the sheet, units as index. missing_genes: share
        of the genes that expression may lack; their training mean stands for them. Subtyping: prob_<class>. Survival:
        risk, higher is earlier, comparable among units of this very model alone, and survival_<day>d at the ends of the
        bins where the method has curves. Raises InputError for what is missing, other genes, another scale or width,
        and for a word where training has numbers.
        """
        names = list(units)
        frame = pd.DataFrame({"unit": names, "patient": names, "slide_id": "", "slide_ids": [[] for _ in names]})
        if columns is not None:
            frame = frame.join(columns_of(names, columns, self.needs))
        self._require(bags, expression, frame)
        require_numbers(self.saved, frame)
        if self._pretrained:
            fitted = self.saved.fitted(RNA_SCALER)
            known = fitted if was_fitted(fitted) else {}
            values = self._expression(names, expression, missing_genes, known) if self.saved.genes else None
            vectors = self._vectors(names, self._bags(names, bags or ()), expression, missing_genes)
            raw = RawUnits(frame, None, values, vectors)
        else:
            scaler = self.saved.fitted(RNA_SCALER)
            values = self._expression(names, expression, missing_genes, scaler) if self.saved.genes else None
            raw = RawUnits(frame, self._bags(names, bags) if bags is not None else None, values)
        return self._table(names, self.saved.predict(self.saved.prepare(raw)))

    def _require(self, bags: Any, expression: Any, frame: pd.DataFrame) -> None:
        given = {SLIDES: bags is not None, RNA: expression is not None}
        lacking = [name for name in self.needs if not given.get(name, name in frame)]
        if lacking:
            message = f"{self.saved.config['method']} needs {', '.join(lacking)}: give bags, expression or columns"
            raise InputError(message)

    def _bags(self, units: Sequence[str], bags: Sequence[np.ndarray]) -> Any:
        from mirrorflow.training.bags import ArrayBags

        if len(bags) != len(units):
            message = f"{len(bags)} bags for {len(units)} units; give one a unit"
            raise InputError(message)
        arrays = [np.asarray(bag, np.float32) for bag in bags]
        for name, bag in zip(units, arrays, strict=True):
            if bag.ndim != 2 or not len(bag) or not np.isfinite(bag).all():
                message = (
                    f"bag of {name}: shape {bag.shape}; a bag is finite numbers [patch, feature], one patch or more"
                )
                raise InputError(message)
        if wrong := [
            name for name, bag in zip(units, arrays, strict=True) if bag.shape[1] != self._width(bag.shape[1])
        ]:
            message = f"bag of {wrong[0]}: features are not as wide as those of training ({self._width(0)})"
            raise InputError(message)
        return ArrayBags(arrays, list(units))

    def _width(self, given: int) -> int:
        """Values of a patch that the model was trained on; ``given`` where its files do not say."""
        if self._pretrained:
            return int(self.saved.source_model().made_with["model"]["patch_dim"])
        return int(self.saved.config.get("sizes", {}).get("patch_dim", given))

    def _expression(self, names: list[str], table: pd.DataFrame | None, most: float, scaler: Any) -> np.ndarray:
        return _matched(self.genes, names, table, most, scaler)

    def _vectors(self, names: list[str], bags: Any, expression: pd.DataFrame | None, most: float = 0.1) -> np.ndarray:
        from mirrorflow.reuse.embedding import embed_new

        stored = self.saved.source_model()
        genes = None
        if expression is not None and self.saved.config["inputs"]["kind"] == "embedded":
            fitted = stored.rna_scaler if was_fitted(stored.rna_scaler) else {}
            values = _matched(self.genes, names, expression, most, fitted)
            genes = RnaScaler.from_arrays(stored.rna_scaler).transform(values)
        return embed_new(self.saved, stored, bags, genes, names)

    def _table(self, names: list[str], prediction: Any) -> pd.DataFrame:
        index = pd.Index(names, name="unit")
        if isinstance(prediction, SubtypePrediction):
            columns = [f"prob_{name}" for name in self.classes]
            return pd.DataFrame(prediction.probabilities, index=index, columns=columns)
        table = pd.DataFrame({"risk": prediction.risk}, index=index)
        if prediction.survival is not None:
            ends = self.saved.config["bin_ends_days"]
            for column, day in enumerate(ends):
                table[f"survival_{day:g}d"] = prediction.survival[:, column]
        return table


def _matched(ids: list[str], names: list[str], table: pd.DataFrame | None, most: float, scaler: Any) -> np.ndarray:
    """Expression [unit, gene] of a model's genes. Raises InputError for units, genes or a scale that do not fit."""
    if table is None:
        message = "the model needs expression: a table [unit, gene] with ids as columns"
        raise InputError(message)
    given = _given(names, table)
    matched = match_genes(ids, given)
    require_genes(matched, len(ids), most, given)
    unknown = np.isnan(matched.values).mean(1)
    for unit, share in zip(names, unknown, strict=True):
        if share > most:
            message = (
                f"expression of {unit}: {share:.0%} of the model's genes have no value (at most {most:.0%} may be "
                "missing): give them, or leave the unit out"
            )
            raise InputError(message)
    scale = judged(matched.values, scaler)
    for row, why in (scale.faults() if scale else {}).items():
        message = f"expression of {names[row]} is on another scale than the training matrix: {why}"
        raise InputError(message)
    return matched.values


def _given(names: list[str], table: pd.DataFrame) -> Expression:
    """Rows of the units. Raises InputError for one that is not there or twice, a gene twice, and for no numbers."""
    if lacking := [name for name in names if name not in table.index]:
        message = f"expression has no row for {', '.join(lacking[:3])}; its index names units"
        raise InputError(message)
    repeated = set(table.index[table.index.duplicated()])
    if twice := [name for name in names if name in repeated]:
        message = f"expression has several rows for {twice[0]}; keep one row a unit"
        raise InputError(message)
    columns = [str(name) for name in table.columns]
    if len(set(columns)) < len(columns):
        first = next(name for name in columns if columns.count(name) > 1)
        message = f"expression: gene {first} is there twice; make the columns unique"
        raise InputError(message)
    try:
        values = table.loc[names].to_numpy(np.float32)
    except (TypeError, ValueError) as error:
        message = f"expression holds what is no number ({error}); give numbers, NaN where a gene was not measured"
        raise InputError(message) from error
    if (infinite := np.argwhere(np.isinf(values))).size:
        row, column = infinite[0]
        message = f"expression of {names[row]}: gene {columns[column]} is infinite; give a number, or NaN if unknown"
        raise InputError(message)
    return Expression(values, names, columns, columns)
