"""Learned positions of a vision transformer for images of another size: a square grid, interpolated."""

from collections.abc import Mapping

import torch
from torch import Tensor


def resized(positions: Tensor, count: int, mode: str = "bicubic") -> Tensor:
    """Square positions [1, patch, width] for ``count`` patches, without antialiasing.

    mode: ``bicubic``, as transformers does, or ``bilinear``.
    """
    if positions.shape[1] == count:
        return positions
    side, new = int(positions.shape[1] ** 0.5), int(count**0.5)
    grid = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode=mode, align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(1, count, -1).to(positions.dtype)


def with_positions(state: Mapping[str, Tensor], key: str, wanted: torch.Size, mode: str) -> dict[str, Tensor]:
    """``state`` with positions ``key`` ([CLS] first) of ``wanted``'s grid; without them, or of another kind, as it is.

    What is no square grid beside [CLS] is left, so that loading refuses it.
    """
    found = state.get(key)
    square = found is not None and found.ndim == 3 and int((found.shape[1] - 1) ** 0.5) ** 2 == found.shape[1] - 1
    if found is None or not square or found.shape == wanted:
        return dict(state)
    patches = resized(found[:, 1:], wanted[1] - 1, mode)
    return {**state, key: torch.cat([found[:, :1], patches], dim=1)}
