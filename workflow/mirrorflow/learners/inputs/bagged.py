"""Inputs of the supervised methods: a fold's bags and, where a method sees it, scaled expression by gene or pathway."""

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.expression.gene_sets import count_sets, genes_of_sets, nothing_matches, parse_gene_sets
from mirrorflow.learners.base import Recipe
from mirrorflow.learners.inputs.own_fit import OWN_FIT, Fit, PatchFit, ScaledBags, fits_beside, kept_fit
from mirrorflow.learners.inputs.paired import moments_beside
from mirrorflow.learners.inputs.seen import FEATURES, features_digest
from mirrorflow.learners.inputs.vectors import FoldVectors, PooledInputs
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.digest import digest, file_digest, names_digest, patients_digest, slides_digest
from mirrorflow.store.expression import read_names
from mirrorflow.store.gene_lists import read_list
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.training.bags import Bags, SomeBags, patch_moments
from mirrorflow.training.supervised import Units

logger = logging.getLogger("mirrorflow.predict")

PATCH_SCALER = "patch scaler"

RANDOM_SETS = "random"
RANDOM_SET_COUNT = 50
"""As many as there are Hallmark pathways."""

GeneSets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class FoldBags:
    """What a supervised method sees of one fold task."""

    train: Units
    evaluation: Units
    patch_dim: int
    moments: tuple[np.ndarray, np.ndarray] | None
    """Mean and deviation [feature] of the training patients' patches; None: features as they are."""
    gene_sets: GeneSets
    fitted: Mapping[str, str] = field(default_factory=dict)
    """As that of :class:`~mirrorflow.learners.inputs.vectors.FoldVectors`."""
    recipe: Recipe = field(default_factory=Recipe)
    """How they are made of other units' data."""
    own: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What the family fitted by itself, by the names of the network's buffers."""


@dataclass(frozen=True)
class PatchMoments:
    """Mean and deviation [feature] of the patches of a fold's training patients, and these patients."""

    mean: np.ndarray
    deviation: np.ndarray
    fitted: Mapping[str, str]


def bag_files(index: str | Path, units: pd.DataFrame) -> list[list[Path]]:
    """Feature files of each unit's slides, as an index of features has them."""
    paths = read_text_sheet(index).set_index("slide_id")["path"]
    return [[Path(paths[slide]) for slide in slides] for slides in units["slide_ids"]]


@dataclass
class BaggedInputs:
    """Bags of patches and scaled genes of the units, as ``inputs`` says; either alone will do.

    Patches and genes are scaled by all units of ``fold.train``: scaling sees no label. With ``gene_sets`` the
    genes are those of the sets, from the whole matrix (no label chose them), or the fold's selected genes in
    random groups; else they are the fold's selected genes.
    """

    units: pd.DataFrame
    inputs: Sequence[str]
    index: str
    expression: str
    genes: Sequence[str]
    rna_scaling: str
    clip: float | None
    feature_scaling: str
    cache_gb: float
    gene_sets: str | None = None
    fit: Fit | PatchFit | None = None
    """What the family fits on the training patients of a fold, if it does."""
    _bags: FeatureBags | None = None
    _features: list[str] = field(default_factory=list)
    """Their digest, once it is known."""
    _moments: dict[Fold, PatchMoments] = field(default_factory=dict)
    """Of the fold asked for last. By the fold itself: an inner fold has its number, and other patients."""
    _expression: "SetGenes | None" = None
    _own: dict[tuple[Fold, int], Mapping[str, np.ndarray]] = field(default_factory=dict)
    """Of the fold and seed asked for last."""

    @property
    def sees_slides(self) -> bool:
        """Whether there are bags: a network may see RNA alone."""
        return "slides" in self.inputs

    def with_genes(self, genes: Sequence[str]) -> "BaggedInputs":
        """The same inputs with other genes; bags that are loaded are shared."""
        if self.sees_slides:
            self._all()
        return replace(self, genes=genes, _expression=None, _own={})

    def load(self) -> None:
        """Read what folds share before their processes are forked, which then share the memory, too.

        What is wrong with a slide is left to the folds that see it. A process's first optimiser imports torch's
        compiler, 2 CPU seconds: that is shared as well.
        """
        importlib.import_module("torch._dynamo")
        if self.sees_slides:
            self._features_digest()
            self._all().load(moments=self.feature_scaling == "train")

    def digest(self, fold_number: int) -> str:
        """From the features and their index, the expression file's settings, the fold's genes, the gene sets."""
        parts: dict[str, Any] = {}
        if self.sees_slides:
            parts = {"index": file_digest(self.index), "scaling": self.feature_scaling}
            parts[FEATURES] = self._features_digest()
        if "rna" in self.inputs:
            parts["rna"] = self._rna().digest(fold_number)
        return digest(parts)

    def seen(self, fold_number: int) -> dict[str, str]:
        """Digests of the features and, where a method sees it, the expression matrix."""
        found = {FEATURES: self._features_digest()} if self.sees_slides else {}
        return found | (self._rna().seen(fold_number) if "rna" in self.inputs else {})

    def _features_digest(self) -> str:
        if not self._features:
            self._features.append(features_digest(self.units, self.index))
        return self._features[0]

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldBags:
        """Bags and genes of the units. Raises InputError for a slide without a feature file."""
        genes, sets = self._genes(fold, fold_number, seed, train, evaluation)
        moments = self._scale(fold) if self.sees_slides and self.feature_scaling == "train" else None
        scaler = {PATCH_SCALER: {"mean": moments.mean, "deviation": moments.deviation}} if moments else {}
        of_genes = genes.recipe.settings if "rna" in self.inputs else {}
        own, fitted_on = self._fit_own(fold, fold_number, seed)
        settings = {**of_genes, "kind": "bags", "inputs": list(self.inputs), "feature_scaling": self.feature_scaling}
        return FoldBags(
            train=Units(self._side(train) if self.sees_slides else None, genes.train[0]),
            evaluation=Units(self._side(evaluation) if self.sees_slides else None, genes.evaluation[0]),
            patch_dim=self._all()[0].shape[1] if self.sees_slides else 0,
            moments=None if moments is None else (moments.mean, moments.deviation),
            gene_sets=sets,
            fitted={**genes.fitted, **(moments.fitted if moments else {}), **fitted_on},
            recipe=Recipe(settings, {**genes.recipe.arrays, **scaler, **({OWN_FIT: dict(own)} if own else {})}),
            own=own,
        )

    def _fit_own(self, fold: Fold, fold_number: int, seed: int) -> tuple[Mapping[str, np.ndarray], dict[str, str]]:
        """What the family fits on all training patients of the fold, and the digest of these patients."""
        if self.fit is None:
            return {}, {}
        known = self.units[self.units["patient"].isin(fold.train)]
        if (fold, seed) not in self._own:
            self._own = {(fold, seed): self._fitted(known, fold, fold_number, seed)}
        return self._own[fold, seed], {OWN_FIT: patients_digest(known["patient"])}

    def _fitted(self, known: pd.DataFrame, fold: Fold, fold_number: int, seed: int) -> Mapping[str, np.ndarray]:
        """Raises CannotFitError where ``known`` are too few for it."""
        assert self.fit is not None
        rng = np.random.default_rng([seed, fold_number])
        if not isinstance(self.fit, PatchFit):
            genes = self._genes(fold, fold_number, seed, known, known)[0].train[0]
            return self.fit(Units(self._side(known) if self.sees_slides else None, genes), rng)
        bags: Bags = self._side(known)
        if self.feature_scaling == "train":
            scale = self._scale(fold)
            bags = ScaledBags(bags, scale.mean, scale.deviation)
        drawn = {"seed": [seed, fold_number], "features": features_digest(known, self.index)}
        of = drawn | {"units": names_digest(known["unit"]), "scaling": self.feature_scaling}
        of |= slides_digest(known["slide_ids"].tolist())
        return kept_fit(self.fit, bags, rng, fits_beside(Path(self.index)), of)

    def _all(self) -> FeatureBags:
        if self._bags is None:
            files = bag_files(self.index, self.units)
            names, moments = self.units["unit"].tolist(), moments_beside(Path(self.index))
            self._bags = FeatureBags(files, self.cache_gb, names, moments)
        return self._bags

    def _side(self, units: pd.DataFrame) -> SomeBags:
        row = {name: number for number, name in enumerate(self.units["unit"])}
        return SomeBags(self._all(), [row[name] for name in units["unit"]])

    def _scale(self, fold: Fold) -> PatchMoments:
        if fold not in self._moments:
            known = self.units[self.units["patient"].isin(fold.train)]
            fitted = {PATCH_SCALER: patients_digest(known["patient"])}
            self._moments = {fold: PatchMoments(*patch_moments(self._side(known)), fitted)}
        return self._moments[fold]

    def _rna(self) -> "SetGenes":
        if self._expression is None:
            self._expression = SetGenes(
                units=self.units,
                inputs=["rna"],
                pooling="mean",
                index=None,
                expression=self.expression,
                genes=self.genes,
                rna_scaling=self.rna_scaling,
                clip=self.clip,
                gene_sets=self.gene_sets,
            )
        return self._expression

    def _genes(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> tuple[FoldVectors, GeneSets]:
        if "rna" not in self.inputs:
            nothing = [np.zeros((1, len(part), 0), np.float32) for part in (train, evaluation)]
            return FoldVectors(nothing[0], nothing[1]), ()
        return self._rna().vectors(fold, fold_number, seed, train, evaluation), self._rna().sets(fold_number)


@dataclass
class SetGenes(PooledInputs):
    """Scaled genes of gene sets: a CSV of sets, or ``random`` groups of the selected genes; None: no sets."""

    gene_sets: str | None = None
    _matched: dict[str, tuple[list[str], GeneSets]] = field(default_factory=dict)

    def digest(self, fold_number: int) -> str:
        """As :class:`PooledInputs`; with sets from a file that file instead of the selected genes."""
        if self.gene_sets in (None, RANDOM_SETS):
            return digest({"genes": super().digest(fold_number), "sets": self.gene_sets})
        parts = {"expression": file_digest(f"{self.expression}.json"), "sets": file_digest(str(self.gene_sets))}
        return digest(parts | {"scaling": [self.rna_scaling, self.clip]})

    def gene_ids(self, fold_number: int) -> list[str]:
        """Ids of the genes of the sets, or of the fold's manifest."""
        if self.gene_sets in (None, RANDOM_SETS):
            return super().gene_ids(fold_number)
        return self._of_file()[0]

    def sets(self, fold_number: int) -> GeneSets:
        """Positions of each set's genes among :meth:`gene_ids`."""
        if self.gene_sets is None:
            return ()
        if self.gene_sets == RANDOM_SETS:
            return random_sets(len(self.gene_ids(fold_number)))
        return self._of_file()[1]

    def _of_file(self) -> tuple[list[str], GeneSets]:
        path = str(self.gene_sets)
        if path not in self._matched:
            sets = parse_gene_sets(read_list(Path(path), "gene_sets"), where=path)
            _, ids, symbols = read_names(str(self.expression))
            self._matched[path] = match_sets(sets, ids, symbols, where=path)
        return self._matched[path]


def match_sets(
    sets: Mapping[str, Sequence[str]], ids: Sequence[str], symbols: Sequence[str], where: str
) -> tuple[list[str], GeneSets]:
    """Ids of the matrix's rows that belong to any set, and each set's positions among them.

    A gene stands in every set that names it, with all its transcripts; a set without any gene in the matrix is
    left out (the log counts and names them). Raises InputError when none is left.
    """
    rows, _ = genes_of_sets(sets, symbols)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(symbols[row], []).append(place)
    found = [[place for symbol in members for place in places.get(symbol, [])] for members in sets.values()]
    kept = tuple(tuple(dict.fromkeys(members)) for members in found if members)
    if not kept:
        raise InputError(nothing_matches(sets, symbols, where))
    logger.info("%s: %s (%d rows)", where, count_sets(sets, symbols).said(), len(rows))
    return [ids[row] for row in rows], kept


def random_sets(genes: int, count: int = RANDOM_SET_COUNT) -> GeneSets:
    """``genes`` dealt out to ``count`` groups at random (seeded): the stand-in for pathways, by setting only."""
    order = np.random.default_rng(0).permutation(genes)
    return tuple(tuple(map(int, group)) for group in np.array_split(order, min(count, genes)) if len(group))
