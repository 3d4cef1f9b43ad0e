"""Random numbers of a batch of which only some rows are at hand: the same numbers, however the batch is cut."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowsOf:
    """Rows ``start`` onwards of a batch of ``total`` units, all drawn from ``generator``."""

    generator: torch.Generator
    start: int
    total: int


Draws = torch.Generator | RowsOf | None


def uniform(rows: int, columns: int, draws: Draws, device: torch.device) -> Tensor:
    """Numbers in [0, 1) [row, column]."""
    if not isinstance(draws, RowsOf):
        return torch.rand(rows, columns, generator=draws, device=device)
    whole = torch.rand(draws.total, columns, generator=draws.generator, device=device)
    return whole[draws.start : draws.start + rows]


def normal(rows: int, columns: int, draws: Draws, device: torch.device) -> Tensor:
    """Standard normal numbers [row, column]."""
    if not isinstance(draws, RowsOf):
        return torch.randn(rows, columns, generator=draws, device=device)
    whole = torch.randn(draws.total, columns, generator=draws.generator, device=device)
    return whole[draws.start : draws.start + rows]
