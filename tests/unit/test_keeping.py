"""States on their way to the disk: at once or beside the training, and not too often."""

import threading

import pytest
import torch

from mirrorflow.errors import MirrorflowError
from mirrorflow.training import keeping
from mirrorflow.training.keeping import Keeper
from mirrorflow.training.trainer import TrainingState


def state(epoch: int, weight: torch.Tensor) -> TrainingState:
    optimizer = {"state": {0: {"step": torch.tensor(float(epoch))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return TrainingState(epoch, {"weight": weight}, optimizer, [{"total": 1.0}])


def test_at_once_every_state_is_written():
    written = []
    with Keeper(lambda one: written.append(one.epoch), beside=False, every_s=0.0) as keeper:
        for epoch in (1, 2, 3):
            keeper.keep(state(epoch, torch.zeros(2)))
    assert written == [1, 2, 3]


@pytest.mark.parametrize(("beside", "every_s"), [(False, keeping.EVERY_S), (True, keeping.BESIDE_EVERY_S)])
def test_time_passes_between_two_states(monkeypatch, beside, every_s):
    written, now = [], [100.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now[0])
    with Keeper(lambda one: written.append(one.epoch), beside=beside) as keeper:
        for epoch, passes in enumerate([0.9, 0.2, 0.9, 0.2, 0.2]):
            now[0] += passes * every_s
            keeper.keep(state(epoch, torch.zeros(2)))
            if keeper._under_way:
                keeper._under_way.result()
    assert written == [1, 3]


def test_beside_it_is_a_copy_and_training_goes_on():
    written, go_on = [], threading.Event()

    def save(one: TrainingState) -> None:
        go_on.wait(10)
        written.append((one.epoch, one.model["weight"].tolist(), one.optimizer["state"][0]["step"].item()))

    weight = torch.ones(2)
    with Keeper(save, beside=True, every_s=0.0) as keeper:
        keeper.keep(state(1, weight))
        weight.add_(5)  # the next epoch
        keeper.keep(state(2, weight))  # the first is still being written
        go_on.set()
    assert written == [(1, [1.0, 1.0], 1.0)]


def test_a_full_disk_ends_the_training():
    def save(_state: TrainingState) -> None:
        message = "no space left on the disk"
        raise MirrorflowError(message)

    keeper = Keeper(save, beside=True, every_s=0.0)
    with pytest.raises(MirrorflowError, match="no space"), keeper:
        keeper.keep(state(1, torch.zeros(2)))
