"""The epochs of a training that is short enough to need no checkpoint: progress, history, a listener."""

from collections.abc import Callable

import torch

from mirrorflow.runtime.progress import Progress

OnEpoch = Callable[[int], None]
"""Hears of every finished epoch, counted from 1."""


def run_epochs(
    epoch: Callable[[int], float], epochs: int, *, label: str, on_epoch: OnEpoch | None, device: torch.device
) -> list[float]:
    """Call ``epoch`` with 0, 1, ... (it trains one and returns its mean loss); returns the mean losses.

    ``label`` begins the lines of progress. torch's global random state is as before afterwards.
    """
    progress = Progress(label, epochs, "epochs")
    history = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for number in range(epochs):
            history.append(epoch(number))
            if on_epoch is not None:
                on_epoch(number + 1)
            progress.step(note=f"loss {history[-1]:.3f}")
    return history
