"""The model of a fold of a network trained on labels, with the data of its units, as integrated gradients take them."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.learners.differentiable import Differentiable, of_network, random_network, stored_network
from mirrorflow.learners.explained import hold_prediction
from mirrorflow.learners.inputs.bagged import PATCH_SCALER, bag_files
from mirrorflow.learners.network import evaluation_tokens
from mirrorflow.learners.permuted import permuted_network
from mirrorflow.learners.saved import RawUnits
from mirrorflow.steps.explained.fold_models import (
    MEAN,
    PERMUTED,
    RANDOM,
    SAMPLES,
    ZERO,
    Asked,
    GeneFiles,
    expression_of,
    tensor_of,
)
from mirrorflow.steps.prototypes.slide_tiles import tokens_of
from mirrorflow.store.bags import FeatureBags
from mirrorflow.training.bags import SomeBags
from mirrorflow.training.gradients import Seen
from mirrorflow.training.supervised import Units


class NetworkFold:
    """A network trained on labels: patches of the bag, if it sees slides, and genes."""

    def __init__(self, asked: Asked, files: GeneFiles) -> None:
        self.asked, saved = asked, asked.saved
        self.network = stored_network(saved.arrays, saved.config)
        self.ids, units = saved.genes, asked.units
        self.row = {name: number for number, name in enumerate(units["unit"])}
        raw = expression_of(files, units, self.ids)
        scaled = saved.scaled_genes(RawUnits(units, None, np.stack([raw[name] for name in units["unit"]])))
        self.genes = {name: tensor_of(row) for name, row in zip(units["unit"], scaled, strict=True)}
        self.zero = tensor_of(saved.scaled_genes(RawUnits(units, None, np.zeros((1, len(self.ids)), np.float32)))[0])
        self.bags = self._bags(files, units) if "slides" in saved.config["inputs"]["inputs"] else None

    def _bags(self, files: GeneFiles, units: pd.DataFrame) -> FeatureBags:
        if files.index is None:
            message = f"{self.asked.saved.folder}: sees slides, and the rule has no index of features"
            raise InputError(message)
        own = bag_files(files.index, units)
        if gone := [path for paths in own for path in paths if not path.exists()]:
            message = f"{gone[0]}: no features there; make them again"
            raise InputError(message)
        bags, width = FeatureBags(own, cache_gb=0, names=units["unit"].tolist()), self.network.patch_mean.shape[0]
        if bags.width(0) != width:
            where = self.asked.saved.folder
            message = f"{files.index}: features are {bags.width(0)} wide, the model in {where} takes {width}"
            raise InputError(message)
        return bags

    @property
    def model(self) -> Differentiable:
        """The network."""
        return of_network(self.network, self.asked.saved.arrays, self.asked.saved.config)

    def _patches(self, unit: str, most: int | None) -> Tensor:
        """Patches of the unit's bag, as many as the network looks at, and no more than ``most``."""
        if self.bags is None:
            return torch.zeros(1, 0)
        bag = self.bags[self.row[unit]]
        looked = tokens_of(len(bag), evaluation_tokens(self.asked.saved.config))
        return tensor_of(bag[looked][tokens_of(len(looked), most)])

    @property
    def said(self) -> str:
        """How many patches there are of a bag, and which patch the training mean's slide has."""
        most = self.asked.settings["patches"]
        if self.bags is None:
            return ""
        drawn = "all patches of a bag" if most is None else f"a draw of at most {most} patches of a bag"
        of = "the training patients' mean patch" if self._is_scaled else f"that of {len(self._samples)} of them"
        return f"A path has {drawn}; at the mean each of them is {of}."

    def seen(self, unit: str) -> Seen:
        """Its patches (no more than the settings say) and genes."""
        return Seen(self._patches(unit, self.asked.settings["patches"]), self.genes[unit])

    def whole(self, unit: str) -> Seen:
        """All patches that the network looks at, and genes."""
        return Seen(self._patches(unit, None), self.genes[unit])

    def baselines(self, unit: Seen) -> dict[str, list[Seen]]:
        """As many patches as the unit has: the mean one, zeros, those of a training patient over and over."""
        genes = torch.stack([self.genes[name] for name in self.asked.training["unit"]]).mean(0)
        return {
            MEAN: [Seen(self._mean_patch.expand_as(unit.slide), genes)],
            ZERO: [Seen(torch.zeros_like(unit.slide), self.zero)],
            SAMPLES: [Seen(_as_long(one.slide, len(unit.slide)), one.genes) for one in self._samples],
        }

    @cached_property
    def _samples(self) -> list[Seen]:
        return [self.seen(name) for name in self.asked.drawn()]

    @property
    def _is_scaled(self) -> bool:
        return self.bags is not None and bool(self.asked.saved.fitted(PATCH_SCALER))

    @cached_property
    def _mean_patch(self) -> Tensor:
        """Of the training patients where the model was scaled by it, else of those that are baselines."""
        if self._is_scaled:
            return self.network.patch_mean
        return torch.stack([one.slide.mean(0) for one in self._samples]).mean(0)

    def nulls(self) -> Iterator[tuple[str, Differentiable]]:
        """Weights drawn anew; where that was asked for, trained again on permuted labels."""
        saved, training = self.asked.saved, self.asked.training["unit"].tolist()
        for seed in self.asked.seeds():
            yield RANDOM, of_network(random_network(self.network, saved.config, seed), saved.arrays, saved.config)
        for seed in self.asked.seeds("retrained"):
            bags = None if self.bags is None else SomeBags(self.bags, [self.row[name] for name in training])
            units = Units(bags, np.stack([self.genes[name].numpy() for name in training]))
            yield PERMUTED, permuted_network(self.network, units, self.asked.targets, saved.config, seed)

    def hold(self, unit: str, stored: Mapping[str, Any]) -> None:
        """From all patches that the network looks at."""
        hold_prediction(self.asked.saved, self.model.predict(self.whole(unit)), stored, unit)


def _as_long(patches: Tensor, count: int) -> Tensor:
    """So many patches: a draw of a longer bag, a shorter one over and over."""
    if len(patches) >= count:
        return patches[tokens_of(len(patches), count)]
    return patches[torch.arange(count) % len(patches)]
