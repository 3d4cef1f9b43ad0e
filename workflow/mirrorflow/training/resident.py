"""Bags that stay on the device, as long as they fit: drawn there, the same patches as from the files."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mirrorflow.config.training_settings import ShortBags
from mirrorflow.training.bags import Bags, Batch, CappedBags, SomeBags, draw_index, width_of

SHARE = 0.5
"""Of the GPU's free memory that bags may fill: the rest is for activations."""


class ResidentBags:
    """The bags of a collection on ``device``, each brought there when it is first asked for, up to ``budget`` bytes."""

    def __init__(self, bags: Bags, device: torch.device, budget: int) -> None:
        self.bags, self.device, self.left = bags, device, budget
        self._there: dict[int, Tensor] = {}

    def fits(self, units: Sequence[int]) -> bool:
        """Whether these units' bags are there, or may be brought."""
        missing = [unit for unit in units if unit not in self._there]
        return sum(self._bytes(unit) for unit in missing) <= self.left

    def bag(self, unit: int) -> Tensor:
        """Every patch of a unit, on the device [patch, feature]."""
        if unit not in self._there:
            self.left -= self._bytes(unit)
            self._there[unit] = torch.tensor(self.bags[unit], dtype=torch.float32, device=self.device)
        return self._there[unit]

    def _bytes(self, unit: int) -> int:
        return self.bags.size(unit) * width_of(self.bags, unit) * 4

    def clear(self) -> None:
        """Give the memory back, and take none again."""
        self._there.clear()
        self.left = 0

    def draw(
        self,
        units: np.ndarray,
        names: np.ndarray,
        *,
        tokens: int,
        short: ShortBags,
        rngs: Sequence[np.random.Generator],
        in_order: bool = False,
    ) -> Batch:
        """As :func:`~mirrorflow.training.bags.draw_batch`, from the device's memory into it.

        units: numbers in this collection; names: what the batch calls them.
        """
        drawn = [draw_index(self.bags, int(unit), tokens, short, rng) for unit, rng in zip(units, rngs, strict=True)]
        drawn = [np.sort(rows) for rows in drawn] if in_order else drawn
        longest, width = max(map(len, drawn)), width_of(self.bags, int(units[0]))
        # All indices in one copy, which a GPU need not be waited for.
        index = torch.from_numpy(np.concatenate(drawn))
        index = index.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else index
        patches = torch.zeros(len(drawn), longest, width, device=self.device)
        parts = index.split([len(rows) for rows in drawn])
        for row, unit, rows in zip(patches, units, parts, strict=True):
            torch.index_select(self.bag(int(unit)), 0, rows, out=row[: len(rows)])
        return Batch(names, patches, None if short == "resample" else torch.tensor([len(rows) for rows in drawn]))


_last: list[ResidentBags] = []
"""Of the collection that was asked for last: a job's fold tasks draw from the same one."""


def resident(bags: Bags | None, device: torch.device) -> tuple[ResidentBags, list[int]] | None:
    """The collection behind ``bags`` on the device, and the number in it of each unit of ``bags``; None on a CPU, and
    of bags that are looked at in part.
    """
    if bags is None or device.type != "cuda" or isinstance(bags, CappedBags):
        return None
    whole, rows = root_of(bags)
    if not _last or _last[0].bags is not whole or _last[0].device != device:
        free_all()
        _last.append(ResidentBags(whole, device, int(SHARE * torch.cuda.mem_get_info(device)[0])))
    return _last[0], rows


def root_of(bags: Bags) -> tuple[Bags, list[int]]:
    """The collection that ``bags`` are chosen from, and the number in it of each of them."""
    rows = list(range(len(bags)))
    while isinstance(bags, SomeBags):
        chosen = bags.chosen
        bags, rows = bags.bags, [chosen[row] for row in rows]
    return bags, rows


def free_all() -> bool:
    """Give back what bags fill on the device; returns whether there was anything."""
    held = bool(_last) and bool(_last[0]._there)
    for one in _last:
        one.clear()
    _last.clear()
    return held
