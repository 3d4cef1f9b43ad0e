"""What `transport.py` times the solver beside: Algorithm 2 of TTA and POT, on one batch of costs."""

import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import ot
import torch
from torch import Tensor

from mirrorflow.models.transport import Problem, Transport, partial, soft_sink, transport

TOKENS, PROTOTYPES, EPSILON, GOAL = 4146, 32, 0.1, 2e-6
MOST_SWEEPS = 4000
LOG2_E = math.log2(math.e)
METHODS = {"sinkhorn": 1000, "sinkhorn_stabilized": 24, "sinkhorn_translation_invariant": 300}
"""POT's, with the most sweeps tried; stabilised ones are many times as slow."""
THRESHOLDS = [10 ** (-quarters / 4) for quarters in range(2, 49)]
"""Thresholds that POT is asked to stop at, 0.3 to 1e-12: the loosest with which it is within the goal."""
OF_POTS = ("pot_default", "pot_prototypes", "pot_told", "pot_fastest", "pot")
OF_POT = 4
"""Slides on which POT is timed."""


class Beside(NamedTuple):
    """Times of theirs over ours by the clock and of CPU, our largest error and our largest error of the mass."""

    side: str
    gamma: float
    rho: float
    wall: float
    cpu: float
    error: float = 0.0
    mass: float = 0.0

    def ratio(self, clock: str) -> float:
        """One of the two."""
        return self.cpu if clock == "cpu" else self.wall


def whole(found: Transport) -> Tensor:
    """N times the plan and its sink [slide, token, column]."""
    return torch.cat([found.plan, found.sink[..., None]], dim=2).double() * found.plan.shape[1]


# Algorithm 2.


def beside_sweeps(cost: Tensor, kind: str, rho: float, gamma: float, rounds: int) -> Beside:
    problem = partial(PROTOTYPES, EPSILON, gamma, rho)
    optimum, found = whole(transport(cost.double(), problem)), transport(cost, problem)
    error = (whole(found) - optimum).abs().max().item()
    mass = (found.plan.sum(dim=(1, 2), dtype=torch.float64) / rho - 1).abs().max().item()
    sides: dict[str, Callable[[], object]] = {"ours": lambda: transport(cost, problem)}
    said = {}
    for name, form in FORMS.items():
        counts = needed(cost, problem, optimum, form)
        said[name] = "never" if counts is None else max(counts)
        if counts is not None:
            own = cost.to(form.dtype)
            sides[name] = lambda own=own, form=form, counts=counts: algorithm_2(own, problem, form, counts)
    times = in_turns(sides, rounds)
    wall, cpu = (min(one[at] for name, one in times.items() if name != "ours") / times["ours"][at] for at in (0, 1))
    print(
        f"{kind}, gamma {gamma}, rho {rho}: {1e3 * times['ours'][0] / len(cost):.2f} ms a slide, passes "
        f"{int(found.passes.max())}, sweeps {said}; theirs over ours {wall:.2f} (CPU {cpu:.2f}), error {error:.1e}",
        flush=True,
    )
    return Beside("sweeps", gamma, rho, wall, cpu, error, mass)


class Form(NamedTuple):
    """The type of G, and whether each of its rows is divided by its largest entry."""

    dtype: torch.dtype
    over_largest: bool = False


FORMS = {
    "float32": Form(torch.float32),
    "float32 over largest": Form(torch.float32, over_largest=True),
    "float64": Form(torch.float64),
}


def fill(g: Tensor, cost: Tensor, epsilon: float, form: Form) -> None:
    """G of one slide [token, column]; with exp2 for both sides: a third of the time of exp."""
    if form.over_largest:
        g[:, -1] = 0.0
        torch.neg(cost, out=g[:, :-1])
        g.sub_(g.amax(dim=1, keepdim=True)).mul_(LOG2_E / epsilon).exp2_()
    else:
        torch.mul(cost, -LOG2_E / epsilon, out=g[:, :-1])
        g[:, :-1].exp2_()
        g[:, -1] = 1.0


def algorithm_2(cost: Tensor, problem: Problem, form: Form, counts: list[int]) -> Tensor:
    """Plans of Algorithm 2, a slide at a time: G stays in the cache; ``counts``: sweeps of each slide."""
    slides, tokens, prototypes = cost.shape
    g, plan = cost.new_empty(tokens, prototypes + 1), torch.empty_like(cost)
    b, f, u, v = vectors_of(cost, problem)
    y = torch.empty_like(v)
    for slide in range(slides):
        fill(g, cost[slide], problem.epsilon, form)
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


def needed(cost: Tensor, problem: Problem, optimum: Tensor, form: Form) -> list[int] | None:
    """Sweeps after which each slide is within the goal, looked at every sweep, later every 2 %; None: one never is."""
    counts = []
    g = cost.new_empty(cost.shape[1], PROTOTYPES + 1, dtype=form.dtype)
    for slide, exact in zip(cost.to(form.dtype), optimum, strict=True):
        fill(g, slide, problem.epsilon, form)
        b, f, u, v = vectors_of(slide[None], problem)
        y, done, look = torch.empty_like(v), 0, 8
        while done < MOST_SWEEPS:
            sweep(g, b, f, u, v, y)
            done += 1
            if done >= look:
                if ((u[:, None] * g * v).double() * len(u) - exact).abs().max() <= GOAL:
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
        print(f"a sweep in {str(dtype)[6:]}: batched takes {ratio:.1f} times as long as looped", flush=True)


# POT.


def beside_pot(cost: Tensor, kind: str, rho: float, gamma: float, rounds: int) -> list[Beside]:
    """Beside the fastest of POT's ways that get there: asked by threshold, told its sweeps, and by its defaults."""
    problem = soft_sink(PROTOTYPES, EPSILON, gamma, rho)
    optimum = whole(transport(cost.double(), problem))
    error = (whole(transport(cost, problem)) - optimum).abs().max().item()
    some = as_pot_takes_them(torch.nn.functional.pad(cost[:OF_POT], (0, 1)))
    sides: dict[str, Callable[[], object]] = {"ours": lambda: transport(cost, problem)}
    for method, most in METHODS.items():
        for form, costs in some.items():
            told = [pot_runs(costs, problem, gamma, method, {"numItermax": c, "stopThr": 0.0}) for c in tried(most)]
            asked = [pot_runs(costs, problem, gamma, method, {"numItermax": most, "stopThr": t}) for t in THRESHOLDS]
            tries = [("pot_fastest", asked, PROTOTYPES + 1), ("pot_told", told, PROTOTYPES + 1)]
            tries.append(("pot_prototypes", told, PROTOTYPES))
            for side, runs, columns in tries:
                if (run := first_within(runs, optimum[..., :columns])) is not None:
                    sides[f"{side}: {method}, {form}"] = run
    sides["pot_default: "] = pot_runs(some["numpy float64"], problem, gamma, "sinkhorn", {})
    times, share = in_turns(sides, rounds), len(cost) / OF_POT
    rows = []
    for side in OF_POTS:
        # `pot` is the method that Eq. 54 is: those of `pot_fastest` that are called `sinkhorn`
        begins = "pot_fastest: sinkhorn, " if side == "pot" else f"{side}: "
        own = {name: one for name, one in times.items() if name.startswith(begins)}
        wall, cpu = (share * min(one[at] for one in own.values()) / times["ours"][at] for at in (0, 1))
        rows.append(Beside(side, gamma, rho, wall, cpu, error))
        best = min(own, key=lambda name: own[name][0]).split(": ")[1]
        print(
            f"Eq. 11, {kind}, gamma {gamma}, rho {rho}, {side} {best}: over ours {wall:.2f} (CPU {cpu:.2f})", flush=True
        )
    return rows


def tried(most: int) -> list[int]:
    """Numbers of sweeps, each at most 4 % above the last."""
    counts = [1]
    while counts[-1] < most:
        counts.append(counts[-1] + max(1, counts[-1] // 25))
    return counts


def as_pot_takes_them(cost: Tensor) -> dict[str, list]:
    return {
        "numpy float64": [one.double().numpy() for one in cost],
        "numpy float32": [one.numpy() for one in cost],
        "torch float32": list(cost),
    }


def pot_runs(costs: list, problem: Problem, gamma: float, method: str, until: dict[str, float]) -> Callable[..., list]:
    """POT's plans of so many slides, all unless told, of the costs' type; ``until``: when it stops, in its words."""

    def run(slides: int = len(costs)) -> list:
        plans = []
        for cost in costs[:slides]:
            rows, columns = np.full(len(cost), 1 / len(cost)), np.array(problem.masses)
            if isinstance(cost, Tensor):
                rows, columns = torch.as_tensor(rows).to(cost), torch.as_tensor(columns).to(cost)
            else:
                rows, columns = rows.astype(cost.dtype), columns.astype(cost.dtype)
            marginals = {"reg": EPSILON, "reg_m": (math.inf, gamma), "reg_type": "entropy"}
            plans.append(ot.unbalanced.sinkhorn_unbalanced(rows, columns, cost, method=method, **marginals, **until))
        return plans

    return run


def first_within(runs: list[Callable[..., list]], optimum: Tensor) -> Callable[..., list] | None:
    """The first of these runs, each of more sweeps, with which all slides are within the goal."""
    slides = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in runs:
            while error_of(run(slides), optimum) <= GOAL:
                if slides == OF_POT:
                    return run
                slides = OF_POT
    return None


def error_of(plans: list, optimum: Tensor) -> float:
    pairs = zip((torch.as_tensor(plan).double() * TOKENS for plan in plans), optimum[: len(plans)], strict=True)
    return max((plan[:, : exact.shape[1]] - exact).abs().max().nan_to_num(math.inf).item() for plan, exact in pairs)


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
