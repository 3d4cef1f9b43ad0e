"""The one trainer: groups, clipping, schedule, the epoch that is kept, resuming; and that there is no other."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import mirrorflow
from mirrorflow.errors import MirrorflowError
from mirrorflow.models.abmil import build
from mirrorflow.models.seam import Progress
from mirrorflow.models.supervised import Sizes
from mirrorflow.probes.objective import CrossEntropy, target_tensors
from mirrorflow.probes.task import Targets
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.supervised import Hooks, LabelledUnits, SupervisedSettings, Units, train_supervised
from mirrorflow.training.trainer import Course, Group, Judge, Trainer, TrainingState, descend

TIMES = {"seconds", "samples_per_second", "waited_seconds", "peak_memory_mb"}


class Line:
    """Fits y = w x + b to three points, a point a batch; ``at``: where each step is, ``after``: the weight after it."""

    device = torch.device("cpu")

    def __init__(self, groups: list[dict] | None = None, poison: int | None = None) -> None:
        self.network = nn.Linear(1, 1)
        nn.init.zeros_(self.network.weight)
        nn.init.zeros_(self.network.bias)
        self.asked, self.poison, self.at, self.after = groups, poison, [], []

    def groups(self) -> list[Group]:
        weight, bias = self.network.parameters()
        return [Group([weight], 0.1, 0.0), Group([bias], 0.01, 0.0)]

    def train_mode(self) -> None:
        self.network.train()

    def batches(self, epoch: int) -> Iterator[Tensor]:
        return iter(torch.tensor([[1.0], [2.0], [3.0]]))

    def backward(self, batch: Tensor, at: Progress, check) -> tuple[dict[str, float], int]:
        self.at.append(at)
        error = (self.network(batch) - 2 * batch).square().mean()
        if self.poison is not None and len(self.at) > self.poison:
            error = error * float("nan")
        return descend({"error": error, "size": self.network.weight.abs().sum()}, {"size": 0.5}, check), 1

    def stepped(self, batch: Tensor) -> None:
        self.after.append(self.network.weight.item())

    def measures(self) -> dict[str, float]:
        return {"slope": self.network.weight.item()}

    def not_finite(self, batch: Tensor, at: Progress, values) -> str:
        return f"not finite at {at.epoch + 1}/{at.step + 1}: {sorted(values)}"

    def out_of_memory(self) -> str:
        return "lower it"


def test_terms_are_weighed_summed_and_kept_by_name():
    history = Trainer(Line(), Course(2, 3)).fit()
    assert [row["epoch"] for row in history] == [1, 2]
    for row in history:
        assert row["total"] == pytest.approx(row["error"] + 0.5 * row["size"])
        assert {"slope", "learning_rate", *TIMES} <= set(row)
    assert history[1]["error"] < history[0]["error"]


def test_groups_have_rates_of_their_own_and_the_schedule_scales_each():
    training = Line()
    trainer = Trainer(training, Course(2, 3, schedule="cosine", warmup_epochs=1))
    trainer.fit()
    factor = Course(2, 3, schedule="cosine", warmup_epochs=1).rate_factor(1, 2)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([0.1 * factor, 0.01 * factor])
    assert [at.share for at in training.at] == pytest.approx([step / 6 for step in range(6)])
    assert [(at.epoch, at.step) for at in training.at] == [(e, s) for e in range(2) for s in range(3)]


def test_clipping_cuts_the_gradients_norm():
    for clip, expected in ((0.5, 0.5), (None, None)):
        training = Line()
        seen: list[float] = []
        trainer = Trainer(training, Course(1, 3, clip_norm=clip))
        step = trainer.optimizer.step

        def listening(step=step, training=training, seen=seen) -> None:
            seen.append(torch.stack([p.grad.norm() for p in training.network.parameters()]).norm().item())
            step()

        trainer.optimizer.step = listening  # type: ignore[method-assign]
        trainer.fit()
        assert max(seen) == pytest.approx(expected) if clip else max(seen) > 4


def test_the_first_of_the_best_epochs_is_kept_and_what_is_undefined_never_is():
    losses = iter([3.0, 1.0, float("nan"), 1.0, 2.0])
    training = Line()
    states: list[float] = []
    trainer = Trainer(training, Course(5, 3), Judge(lambda epoch: next(losses), "on_others"))
    trainer.fit(lambda state, row: states.append(training.network.weight.item()))
    assert trainer.reported == 2
    assert training.network.weight.item() == states[1]
    assert [row["on_others"] for row in trainer.history][:2] == [3.0, 1.0]


@pytest.mark.parametrize("losses", [[float("nan")] * 3, [float("inf")] * 3])
def test_where_no_epoch_can_be_judged_the_last_is_reported(losses):
    training, trained = Line(), Line()
    trainer = Trainer(training, Course(3, 3), Judge(lambda epoch: losses[epoch - 1], "on_others"))
    trainer.fit()
    Trainer(trained, Course(3, 3)).fit()
    assert trainer.reported == 3
    assert torch.equal(training.network.weight, trained.network.weight)


def test_an_epoch_that_cannot_be_judged_is_after_all_others():
    losses = [float("nan"), float("inf"), 5.0, float("nan")]
    trainer = Trainer(Line(), Course(4, 3), Judge(lambda epoch: losses[epoch - 1], "on_others"))
    trainer.fit()
    assert trainer.reported == 3


def test_stopping_early_keeps_the_rates_of_the_whole_schedule():
    whole, part = (Trainer(Line(), Course(6, 3, schedule="cosine", stop_after=stop)) for stop in (None, 2))
    whole.fit()
    part.fit()
    assert len(part.history) == 2
    assert [row["learning_rate"] for row in part.history] == [row["learning_rate"] for row in whole.history[:2]]


def test_a_total_that_is_not_finite_stops_before_the_weights_move():
    training = Line(poison=4)
    with pytest.raises(MirrorflowError, match=r"not finite at 2/2: \['error', 'size', 'total'\]"):
        Trainer(training, Course(3, 3)).fit()
    assert all(torch.isfinite(parameter).all() for parameter in training.network.parameters())


def test_torchs_random_state_is_left_alone():
    training = Line()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    Trainer(training, Course(1, 3)).fit(lambda *_: torch.manual_seed(9))
    assert torch.equal(state, torch.get_rng_state())


def through_bytes(state: TrainingState) -> TrainingState:
    stream = io.BytesIO()
    best = None if state.best is None else vars(state.best)
    torch.save({"model": state.model, "optimizer": state.optimizer, "best": best}, stream)
    stream.seek(0)
    content = torch.load(stream, weights_only=True)
    return TrainingState(state.epoch, content["model"], content["optimizer"], list(state.history), state.best)


@pytest.mark.parametrize("judged", [False, True])
def test_a_network_trained_on_labels_resumes_to_the_bit(judged):
    rng = np.random.default_rng(0)
    truth = np.arange(20) % 2
    bags = ArrayBags([(rng.normal(size=(5, 4)) + 2 * label).astype(np.float32) for label in truth])
    labelled = LabelledUnits(
        Units(bags, np.zeros((20, 0), np.float32)),
        target_tensors(Targets(pd.DataFrame(index=range(20)), classes=truth)),
        CrossEntropy(2),
    )
    settings = SupervisedSettings(epochs=5, batch_size=8, tokens=3, precision="float32")
    scores = [0.9, 0.4, 0.6, 0.5, 0.7]
    judge = Judge(lambda epoch: scores[epoch - 1], "on_others") if judged else None

    def network():
        torch.manual_seed(0)
        return build(Sizes(4, 0, 2), width=8, attention_width=4, dropout=0.25)

    states: list[TrainingState] = []
    whole, resumed = network(), network()
    first = train_supervised(
        whole,
        labelled,
        settings,
        Hooks(on_epoch=lambda s, row: states.append(through_bytes(s)), judge=judge),
        device="cpu",
    )
    again = train_supervised(resumed, labelled, settings, Hooks(resume_from=states[2], judge=judge), device="cpu")
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert first.reported == again.reported == (2 if judged else 5)
    kept = [[{k: v for k, v in row.items() if k not in TIMES} for row in one.history] for one in (first, again)]
    assert kept[0] == kept[1]


def test_one_place_steps_an_optimiser_besides_the_measurement_of_costs():
    package = Path(mirrorflow.__file__).parent
    steps = [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*.py"))
        if "optimizer.step()" in path.read_text(encoding="utf-8")
    ]
    assert steps == ["training/complexity.py", "training/trainer.py"]


def test_what_follows_a_step_meets_the_moved_weights():
    training = Line()
    history = Trainer(training, Course(2, 3)).fit()
    assert training.after[2::3] == [row["slope"] for row in history]
    assert len(set(training.after)) == 6
