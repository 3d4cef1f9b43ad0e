"""A training step of TTA at published size beside the same step with the plan replaced by the softmax.

    python benchmarks/tta.py                  # about 3 minutes on two cores
    python benchmarks/tta.py --quick          # small sizes: does it run?

Simulated tokens: 32 bags of 4,096 patches of width 1,024, 50 pathways over 4,241 genes. Kinds take turns, round by
round. Seconds are those of the processor (``--clock wall`` for the wall's), medians over rounds. Prints name=value
lines last; ratios are over the step without a plan.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
import torch

from mirrorflow.config.methods import METHODS
from mirrorflow.models.seam import Batch, Progress, TargetTensors
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.models.tta import Tta, objective
from mirrorflow.models.tta_parts.assignment import Assigning, Tokens
from mirrorflow.probes.objective import Cox
from mirrorflow.probes.task import Targets
from mirrorflow.training.trainer import descend

RELEASED = METHODS["tta"].presets["released-masked"]["network"]
KINDS: dict[str, dict[str, object]] = {
    "softmax": {"heads": 0},
    "sound": {"heads": 0},
    "sound_with_views": {},
    "released": RELEASED | {"heads": 0},
    "released_with_views": RELEASED,
}
MIDDLE = Progress(3, 0, 0.1, 0.5)
"""Mass is about a half here; the views of both modalities are drawn at step 0."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["processor", "wall"], default="processor")
    arguments = parser.parse_args()
    shape = (4, 64, 32, 10) if arguments.quick else (32, 4096, 1024, 50)
    clock = time.process_time if arguments.clock == "processor" else time.perf_counter
    torch.set_num_threads(arguments.threads)
    steps = {name: step_of(kind, *shape) for name, kind in KINDS.items()}
    steps["softmax"] = without_plan(steps["softmax"])
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(2 if arguments.quick else arguments.rounds):
        for name, step in steps.items():
            started = clock()
            step()
            seconds[name].append(clock() - started)
    found = {name: statistics.median(each) for name, each in seconds.items()}
    for name, value in found.items():
        print(f"{name}_seconds={value:.3f}")
    print(f"views_seconds={found['released_with_views'] - found['released']:.3f}")
    print(f"step_over_softmax={found['sound'] / found['softmax']:.3f}")
    print(f"step_with_views_over_softmax={found['sound_with_views'] / found['softmax']:.3f}")
    print(f"released_over_softmax={found['released'] / found['softmax']:.3f}")


def step_of(settings: dict[str, object], units: int, patches: int, features: int, pathways: int) -> Callable[[], None]:
    """A whole training step: forward, losses, backward, AdamW."""
    rng, genes = np.random.default_rng(0), 85 * pathways
    sets = tuple(tuple(sorted(rng.choice(genes, 142, replace=False).tolist())) for _ in range(pathways))
    network = build_network("tta", Sizes(features, genes, 1, sets), settings, 0)
    assert isinstance(network, Tta)
    torch.manual_seed(0)
    time_days, event = torch.rand(units).double() * 1000, torch.arange(units) % 4 == 0
    targets = TargetTensors(time_days=time_days, event=event)
    mask = torch.ones(units, patches, dtype=torch.bool)
    batch = Batch(torch.randn(units, patches, features), mask, torch.randn(units, genes), targets)
    known = Targets(list(map(str, range(units))), time_days=time_days.numpy(), event=event.numpy())
    losses = objective(network, Cox(known, np.array([1000.0])))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        network.train()
        network.at(MIDDLE)
        optimizer.zero_grad(set_to_none=True)
        out = network(batch).in_float32()
        descend(losses.terms(out, batch, MIDDLE), losses.weights(MIDDLE), lambda _: None)
        optimizer.step()

    return step


def without_plan(step: Callable[[], None]) -> Callable[[], None]:
    """The same step with the softmax for the plan: in the weights and in the pseudo-labels."""

    def replaced() -> None:
        with mock.patch("mirrorflow.models.tta.plans", softmax_for_plans):
            step()

    return replaced


def softmax_for_plans(parts: Sequence[Tokens], how: Assigning, rho: float) -> list[torch.Tensor]:
    """In the place of :func:`mirrorflow.models.tta_parts.assignment.plans`."""
    return [part.logits.detach().softmax(-1) * part.mask[..., None] for part in parts]


if __name__ == "__main__":
    main()
