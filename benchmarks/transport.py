"""The transport solver beside Algorithm 2 of TTA and beside POT, to the same accuracy, on the same costs.

    python benchmarks/transport.py [--threads 2] [--clock wall] [--rounds 3] [--quick]

A batch of 32 slides of 4,146 tokens and 32 prototypes, epsilon 0.1, float32; three kinds of logits (a random start,
tokens in clusters of uneven size, uniform), rho 0.106 to 1, gamma 0.1 and 1. All reach N * |plan - optimum| <= 2e-6;
the optimum is the solver's in float64, which float64 sweeps meet.

Algorithm 2 is told what it cannot know: the number of sweeps after which each slide is that close, so that it checks
nothing. The faster of float32 and float64 counts, where it gets there at all, a slide at a time: batched, a sweep takes
several times as long on a processor (printed). POT (Eq. 11; numpy and torch, both types, three methods) is told the
loosest threshold, a power of ten, that is close enough; `over_pot_default` is its default method and threshold.

Ours and theirs are timed in turns; ratios are of medians, by the clock or in CPU seconds (where other work runs on the
machine). Figures come last, as name=value lines: the worst of all kinds of logits.
"""

import argparse
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import ot
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from mirrorflow.models.transport import Problem, partial, soft_sink, transport

SLIDES, TOKENS, PROTOTYPES, EPSILON, GOAL = 32, 4146, 32, 0.1, 2e-6
RHOS, GAMMAS = (0.106, 0.3, 0.5, 0.9, 1.0), (0.1, 1.0)
MOST_SWEEPS = 4000
LOG2_E = math.log2(math.e)
METHODS, DEFAULT_THRESHOLD = ("sinkhorn", "sinkhorn_stabilized", "sinkhorn_translation_invariant"), 1e-6
OF_POT = 4
"""Slides on which POT is timed."""


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
        sweeps = [
            beside_sweeps(cost, kind, rho, gamma, rounds)
            for kind, cost in costs.items()
            for gamma in GAMMAS
            for rho in rhos
        ]
        pot = [
            beside_pot(cost, kind, rho, gamma, rounds)
            for kind, cost in costs.items()
            for gamma in GAMMAS
            for rho in (0.106, 0.5, 0.9)
        ]
    report(sweeps, pot, memory, args.clock)


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


class Beside(NamedTuple):
    """Times of theirs over ours by the clock and of CPU, our largest error and our largest error of the mass."""

    gamma: float
    rho: float
    wall: float
    cpu: float
    error: float = 0.0
    mass: float = 0.0

    def ratio(self, clock: str) -> float:
        """One of the two."""
        return self.cpu if clock == "cpu" else self.wall


# Algorithm 2.


def beside_sweeps(cost: Tensor, kind: str, rho: float, gamma: float, rounds: int) -> Beside:
    problem = partial(PROTOTYPES, EPSILON, gamma, rho)
    optimum = transport(cost.double(), problem).weights
    found = transport(cost, problem)
    error = (found.weights - optimum).abs().max().item()
    mass = (found.plan.sum(dim=(1, 2), dtype=torch.float64) / rho - 1).abs().max().item()
    sides: dict[str, Callable[[], object]] = {"ours": lambda: transport(cost, problem)}
    counts = {dtype: needed(cost, problem, optimum, dtype) for dtype in (torch.float32, torch.float64)}
    for dtype, count in counts.items():
        if count is not None:
            own = cost.to(dtype)
            sides[str(dtype)] = lambda own=own, count=count: algorithm_2(own, problem, count)
    times = in_turns(sides, rounds)
    wall, cpu = (min(one[at] for name, one in times.items() if name != "ours") / times["ours"][at] for at in (0, 1))
    said = {str(dtype)[6:]: "never" if count is None else max(count) for dtype, count in counts.items()}
    print(
        f"{kind}, gamma {gamma}, rho {rho}: {1e3 * times['ours'][0] / len(cost):.2f} ms a slide, passes "
        f"{int(found.passes.max())}, sweeps {said}; theirs over ours {wall:.2f} (CPU {cpu:.2f}), error {error:.1e}",
        flush=True,
    )
    return Beside(gamma, rho, wall, cpu, error, mass)


def algorithm_2(cost: Tensor, problem: Problem, counts: list[int]) -> Tensor:
    """Plans of Algorithm 2, a slide at a time: G stays in the cache; ``counts``: sweeps of each slide."""
    slides, tokens, prototypes = cost.shape
    g = cost.new_ones(tokens, prototypes + 1)
    b, f, u, v = vectors_of(cost, problem)
    plan, y = torch.empty_like(cost), torch.empty_like(v)
    for slide in range(slides):
        torch.mul(cost[slide], -LOG2_E / problem.epsilon, out=g[:, :prototypes])
        g[:, :prototypes].exp2_()  # a third of the time of exp, for both sides
        v.fill_(1.0)
        for _ in range(counts[slide]):
            sweep(g, b, f, u, v, y)
        torch.mul(g[:, :prototypes], v[:prototypes], out=plan[slide]).mul_(u[:, None])
    return plan


def vectors_of(cost: Tensor, problem: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    b, f = cost.new_tensor(problem.masses), cost.new_tensor(problem.exponents)
    return b, f, cost.new_empty(cost.shape[1]), torch.ones_like(b)


def sweep(g: Tensor, b: Tensor, f: Tensor, u: Tensor, v: Tensor, y: Tensor) -> None:
    """Eq. 54: u <- a / (G v), v <- (b / (G' u))^f, in place."""
    torch.mv(g, v, out=u)
    u.reciprocal_().mul_(1 / len(u))
    torch.mv(g.t(), u, out=y)
    torch.div(b, y, out=v).pow_(f)


def needed(cost: Tensor, problem: Problem, optimum: Tensor, dtype: torch.dtype) -> list[int] | None:
    """Sweeps after which each slide is within the goal, looked at every sweep, later every 2 %; None: one never is."""
    counts = []
    for slide, exact in zip(cost.to(dtype), optimum, strict=True):
        g = torch.nn.functional.pad(slide / -problem.epsilon, (0, 1)).exp()
        b, f, u, v = vectors_of(slide[None], problem)
        y, done, look = torch.empty_like(v), 0, 8
        while done < MOST_SWEEPS:
            sweep(g, b, f, u, v, y)
            done += 1
            if done >= look:
                plan = u[:, None] * g[:, :-1] * v[:-1]
                if (plan.double() * len(u) - exact).abs().max() <= GOAL:
                    counts.append(done)
                    break
                look = done + max(1, done // 50)
        else:
            return None
    return counts


def batched(cost: Tensor) -> None:
    """A sweep of the whole batch beside one slide at a time."""
    problem = partial(PROTOTYPES, EPSILON, 0.1, 0.5)
    for dtype in (torch.float32, torch.float64):
        g = torch.nn.functional.pad(cost.to(dtype) / -EPSILON, (0, 1)).exp()
        b, f, u, v = vectors_of(cost.to(dtype), problem)
        all_v, y = g.new_ones(len(g), g.shape[2], 1), torch.empty_like(v)

        def together(g: Tensor = g, all_v: Tensor = all_v, b: Tensor = b, f: Tensor = f) -> None:
            all_u = torch.bmm(g, all_v).reciprocal_().mul_(1 / g.shape[1])
            torch.div(b[:, None], torch.bmm(g.mT, all_u), out=all_v).pow_(f[:, None])

        def one_by_one(g: Tensor = g, by: tuple[Tensor, ...] = (b, f, u, v, y)) -> None:
            for one in g:
                for _ in range(10):
                    sweep(one, *by)

        times = in_turns({"batched": together, "looped": one_by_one}, 5)
        ratio = 10 * times["batched"][0] / times["looped"][0]
        print(
            f"a sweep of the batch in {str(dtype)[6:]}: batched takes {ratio:.1f} times as long as looped", flush=True
        )


# POT.


def beside_pot(cost: Tensor, kind: str, rho: float, gamma: float, rounds: int) -> tuple[Beside, Beside]:
    """Beside the fastest of POT's ways that get there, and beside its defaults."""
    problem = soft_sink(PROTOTYPES, EPSILON, gamma, rho)
    optimum, found = transport(cost.double(), problem).weights, transport(cost, problem)
    error = (found.weights - optimum).abs().max().item()
    some = torch.nn.functional.pad(cost[:OF_POT], (0, 1))
    sides: dict[str, Callable[[], object]] = {"ours": lambda: transport(cost, problem)}
    for method in METHODS:
        for form, whole in forms(some).items():
            if (threshold := pot_needs(whole, problem, gamma, method, optimum)) is not None:
                sides[f"{method}, {form}, {threshold:.0e}"] = pot_runs(whole, problem, gamma, method, threshold)
    default = pot_runs(forms(some)["numpy float64"], problem, gamma, METHODS[0], DEFAULT_THRESHOLD)
    times = in_turns(sides | {"default": default}, rounds)
    share = len(cost) / OF_POT
    ours, plain = times.pop("ours"), times.pop("default")
    best = min(times, key=lambda name: times[name][0])
    wall, cpu = (share * min(one[at] for one in times.values()) / ours[at] for at in (0, 1))
    print(
        f"Eq. 11, {kind}, gamma {gamma}, rho {rho}: {1e3 * ours[0] / len(cost):.2f} ms a slide; over ours POT's best "
        f"({best}) {wall:.2f} (CPU {cpu:.2f}), its default {share * plain[0] / ours[0]:.2f}, error {error:.1e}",
        flush=True,
    )
    return Beside(gamma, rho, wall, cpu, error), Beside(gamma, rho, *(share * plain[at] / ours[at] for at in (0, 1)))


def forms(cost: Tensor) -> dict[str, list]:
    """The costs of each slide as POT takes them."""
    return {
        "numpy float64": [one.double().numpy() for one in cost],
        "numpy float32": [one.numpy() for one in cost],
        "torch float64": list(cost.double()),
        "torch float32": list(cost),
    }


def pot_runs(whole: list, problem: Problem, gamma: float, method: str, threshold: float) -> Callable[[], list]:
    """POT's plans of these slides, of the costs' type."""

    def run() -> list:
        plans = []
        for cost in whole:
            rows, columns = np.full(len(cost), 1 / len(cost)), np.array(problem.masses)
            if isinstance(cost, Tensor):
                rows, columns = torch.as_tensor(rows).to(cost), torch.as_tensor(columns).to(cost)
            else:
                rows, columns = rows.astype(cost.dtype), columns.astype(cost.dtype)
            plans.append(
                ot.unbalanced.sinkhorn_unbalanced(
                    rows, columns, cost, EPSILON, (math.inf, gamma), method=method, reg_type="entropy",
                    numItermax=300, stopThr=threshold,
                )
            )  # fmt: skip
        return plans

    return run


def pot_needs(whole: list, problem: Problem, gamma: float, method: str, optimum: Tensor) -> float | None:
    """The loosest threshold with which all these slides are within the goal, if one is."""
    for threshold in (10.0**-digits for digits in range(1, 8)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plans = [torch.as_tensor(plan) for plan in pot_runs(whole, problem, gamma, method, threshold)()]
        pairs = zip(plans, optimum[: len(plans)], strict=True)
        if max((plan[:, :-1].double() * TOKENS - exact).abs().max() for plan, exact in pairs) <= GOAL:
            return threshold
    return None


# Time and memory.


def in_turns(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """The median seconds of each side, by the clock and of the CPU; each is run once before."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(rounds + 1):
            for name, run in sides.items():
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                if turn:
                    times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in own), statistics.median(c for _, c in own))
        for name, own in times.items()
    }


def extra_plans(slides: int) -> float:
    """The most memory a solve takes beyond its costs, its plan included, in plans; NaN where Linux does not tell."""
    cost = -(4 * torch.rand(slides, TOKENS, PROTOTYPES, generator=torch.Generator().manual_seed(1)) - 2).log_softmax(2)
    problem = partial(PROTOTYPES, EPSILON, 0.1, 0.5)
    transport(cost[:1, :500], problem)
    try:
        with open("/proc/self/clear_refs", "w") as stream:  # noqa: PTH123
            stream.write("5")
    except OSError:
        return float("nan")
    before = kilobytes("VmRSS")
    transport(cost, problem)
    return (kilobytes("VmHWM") - before) * 1024 / (cost.numel() * 4)


def kilobytes(what: str) -> int:
    with open("/proc/self/status") as stream:  # noqa: PTH123
        return int(next(line for line in stream if line.startswith(what)).split()[1])


def report(sweeps: list[Beside], pot: list[tuple[Beside, Beside]], memory: float, clock: str) -> None:
    def worst(rows: list[Beside], gamma: float, rho: float | None = None) -> float:
        return min(row.ratio(clock) for row in rows if row.gamma == gamma and rho in (None, row.rho))

    print(f"threads={torch.get_num_threads()}")
    print(f"load={os.getloadavg()[0]:.1f}")
    print(f"clock={clock}")
    print(f"extra_plans={memory:.2f}")
    print(f"newton_over_sweeps_g01_r0106={worst(sweeps, 0.1, 0.106):.2f}")
    print(f"newton_over_sweeps_g1_r0106={worst(sweeps, 1.0, 0.106):.2f}")
    print(f"worst_over_sweeps={min(row.ratio(clock) for row in sweeps):.2f}")
    best, default = ([pair[at] for pair in pot] for at in (0, 1))
    print(f"over_pot_default_g01={worst(default, 0.1):.2f}")
    print(f"over_pot_default_g1={worst(default, 1.0):.2f}")
    print(f"over_pot_g01={worst(best, 0.1):.2f}")
    print(f"over_pot_g1={worst(best, 1.0):.2f}")
    print(f"worst_error={max(row.error for row in sweeps + best):.1e}")
    print(f"worst_mass_error={max(row.mass for row in sweeps):.1e}")


if __name__ == "__main__":
    main()
