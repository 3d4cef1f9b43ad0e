"""The transport solver beside Algorithm 2 of TTA and beside POT, to the same accuracy, on the same costs.

    python benchmarks/transport.py [--threads 2] [--clock wall] [--rounds 3] [--quick]

A batch of 32 slides of 4,146 tokens and 32 prototypes, epsilon 0.1, float32; three kinds of logits (a random start,
tokens in clusters of uneven size, uniform), rho 0.106 to 1, gamma 0.1 and 1. All reach N * |plan - optimum| <= 2e-6,
the sink's column included; the optimum is the solver's in float64, which float64 sweeps meet.

Algorithm 2 is told what it cannot know: after how many sweeps each slide is that close. So it checks nothing. The
fastest of float32, float32 with rows over their largest entry, and float64 counts, a slide at a time: batched, a sweep
takes several times as long on a processor (printed).

POT (Eq. 11) has several methods, here in numpy and torch, float32 and float64, the fastest of which counts. `over_pot`
is its default one, `sinkhorn`: the sweeps of Eq. 54. It stops by itself, at the loosest of four thresholds a decade
that gives this accuracy. `over_pot_fastest` is the same of the fastest of three methods, of which
`sinkhorn_translation_invariant` is one. `over_pot_told` tells that one the least number of sweeps, so that it need not
know when to stop. `over_pot_prototypes` may also miss the sink's column, which is most of that plan. `over_pot_default`
is `sinkhorn` with no setting changed.

Ours and theirs are timed in turns; ratios are of medians, by the clock or in CPU seconds (where other work runs on the
machine). Figures come last, as name=value lines: the worst of all kinds of logits.
"""

import argparse
import ctypes
import os
import warnings
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from transport_sides import EPSILON, OF_POTS, PROTOTYPES, TOKENS, Beside, batched, beside_pot, beside_sweeps

from mirrorflow.models.transport import partial, transport

SLIDES = 32
RHOS, POT_RHOS, GAMMAS = (0.106, 0.3, 0.5, 0.9, 1.0), (0.106, 0.5, 0.9), (0.1, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="wall", help="which ratio the last lines give")
    parser.add_argument("--quick", action="store_true", help="4 slides, rho 0.106 and 0.9, one round")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "If reg_type = entropy")
    torch.set_num_threads(args.threads)
    slides, rhos, rounds = (4, (0.106, 0.9), 1) if args.quick else (SLIDES, RHOS, args.rounds)
    memory = extra_plans(slides)
    with threadpool_limits(args.threads):
        costs = {kind: -logits.log_softmax(dim=2) for kind, logits in kinds(slides)}
        batched(costs["random"])
        rows = []
        for kind, cost in costs.items():
            for gamma in GAMMAS:
                rows += [beside_sweeps(cost, kind, rho, gamma, rounds) for rho in rhos]
                rows += [row for rho in POT_RHOS for row in beside_pot(cost, kind, rho, gamma, rounds)]
    report(rows, memory, args.clock)


def kinds(slides: int) -> Iterator[tuple[str, Tensor]]:
    """Logits [slide, token, prototype] in [-2, 2], as TTA's cosines over 0.5 are."""
    draws = torch.Generator().manual_seed(0)
    bank = torch.nn.functional.normalize(torch.randn(PROTOTYPES, 256, generator=draws), dim=1)
    vectors = torch.randn(slides, TOKENS, 256, generator=draws)
    yield "random", torch.nn.functional.normalize(vectors, dim=2) @ bank.T / 0.5
    own = (torch.rand(slides, TOKENS, generator=draws).square() * PROTOTYPES).long().clamp(max=PROTOTYPES - 1)
    vectors = vectors.mul_(0.12).add_(bank[own])
    yield "clustered", torch.nn.functional.normalize(vectors, dim=2) @ bank.T / 0.5
    yield "uniform", 4 * torch.rand(slides, TOKENS, PROTOTYPES, generator=draws) - 2


def extra_plans(slides: int) -> float:
    """The most memory a solve takes beyond its costs, its plan included, in plans; NaN where Linux does not tell."""
    cost = -(4 * torch.rand(slides, TOKENS, PROTOTYPES, generator=torch.Generator().manual_seed(1)) - 2).log_softmax(2)
    problem = partial(PROTOTYPES, EPSILON, 0.1, 0.5)
    transport(cost[:1, :500], problem)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what this process freed before would be used again, unseen
        with open("/proc/self/clear_refs", "w") as stream:  # noqa: PTH123
            stream.write("5")
    except (OSError, AttributeError):
        return float("nan")
    before = kilobytes("VmRSS")
    transport(cost, problem)
    return (kilobytes("VmHWM") - before) * 1024 / (cost.numel() * 4)


def kilobytes(what: str) -> int:
    with open("/proc/self/status") as stream:  # noqa: PTH123
        return int(next(line for line in stream if line.startswith(what)).split()[1])


def report(rows: list[Beside], memory: float, clock: str) -> None:
    def worst(side: str, gamma: float, rho: float | None = None) -> float:
        own = (row for row in rows if (row.side, row.gamma) == (side, gamma) and rho in (None, row.rho))
        return min(row.ratio(clock) for row in own)

    print(f"threads={torch.get_num_threads()}")
    print(f"load={os.getloadavg()[0]:.1f}")
    print(f"clock={clock}")
    print(f"extra_plans={memory:.2f}")
    print(f"newton_over_sweeps_g01_r0106={worst('sweeps', 0.1, 0.106):.2f}")
    print(f"newton_over_sweeps_g1_r0106={worst('sweeps', 1.0, 0.106):.2f}")
    print(f"worst_over_sweeps={min(worst('sweeps', gamma) for gamma in GAMMAS):.2f}")
    for side in OF_POTS:
        for gamma, name in zip(GAMMAS, ("g01", "g1"), strict=True):
            print(f"over_{side}_{name}={worst(side, gamma):.2f}")
    print(f"worst_error={max(row.error for row in rows):.1e}")
    print(f"worst_mass_error={max(row.mass for row in rows):.1e}")


if __name__ == "__main__":
    main()
