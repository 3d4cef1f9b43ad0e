"""Expectation-maximisation of a mixture beside scikit-learn's, and of memory-mapped patches.

``python benchmarks/mixtures.py [--patches 300000] [--mapped 1600000] [--steps 6]`` prints figures as ``name=value``:

- ``mixture_ratio``: seconds of scikit-learn's GaussianMixture over ours, 16 diagonal components, float32 patches of
  1,024 features, from the same start, as many steps, side by side and in turns; ``mixture_ratio_cpu`` of CPU seconds;
  ``mixture_log_likelihood`` and ``sklearn_log_likelihood``: the mean of a patch after these steps, both in float64;
- ``mapped_gb``: the most memory of its own (no file's pages) that a step over ``--mapped`` patches in a file takes.

With ``--nystrom``: ``nystrom_ratio`` is our Nystrom block's seconds over those of the nystrom-attention package at
4,096 patches (TransMIL's sizes: 512 wide, 8 heads, 256 landmarks), forward and backward; ``nystrom_difference`` the
largest difference of outputs.
"""

import argparse
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from mirrorflow.models.attention import NystromAttention
from mirrorflow.models.mixtures.em import Mixture, densities, fit_mixture
from mirrorflow.models.mixtures.rows import ArrayRows

WIDTH, COMPONENTS = 1024, 16


def patches_of(count: int, rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """Features of a foundation model's size: 32 clouds, each feature with a scale of its own."""
    own = rng.integers(len(centres), size=count)
    return centres[own] + rng.standard_normal((count, WIDTH), dtype=np.float32)


def start_of(values: np.ndarray, rng: np.random.Generator) -> Mixture:
    means = torch.from_numpy(values[rng.choice(len(values), COMPONENTS, replace=False)]).double()
    variances = torch.from_numpy(values[:20_000].var(0)).double().expand(COMPONENTS, -1)
    return Mixture(torch.full((COMPONENTS,), 1 / COMPONENTS, dtype=torch.float64), means, variances)


def of_sklearn(values: np.ndarray, start: Mixture, steps: int) -> Mixture:
    theirs = GaussianMixture(
        COMPONENTS,
        covariance_type="diag",
        max_iter=steps,
        tol=0.0,
        weights_init=start.weights.float().numpy(),
        means_init=start.means.float().numpy(),
        precisions_init=(1 / start.variances).float().numpy(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(values)
    parts = (theirs.weights_, theirs.means_, theirs.covariances_)
    return Mixture(*(torch.from_numpy(np.asarray(part)).double() for part in parts))


def likelihood(values: np.ndarray, mixture: Mixture) -> float:
    """Mean log likelihood of a patch, in float64, of the first 50,000."""
    total, count = 0.0, min(len(values), 50_000)
    coefficients, constants = densities(mixture, torch.float64)
    for first in range(0, count, 5000):
        part = torch.from_numpy(values[first : min(first + 5000, count)]).double()
        total += float((torch.cat([part, part.square()], dim=1) @ coefficients + constants).logsumexp(1).sum())
    return total / count


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def beside_sklearn(patches: int, steps: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=1.0, size=(32, WIDTH)).astype(np.float32)
    values = patches_of(patches, rng, centres)
    start = start_of(values, rng)
    rows, found = ArrayRows(values), dict[str, Mixture]()

    def ours() -> None:
        found["ours"] = fit_mixture(rows, start, steps=steps, tolerance=0.0).mixture

    def theirs() -> None:
        found["theirs"] = of_sklearn(values, start, steps)

    times = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    for clock, place in (("", 0), ("_cpu", 1)):
        print(f"mixture_ratio{clock}={statistics.median(b[place] / a[place] for a, b in times):.2f}")
    print(f"mixture_seconds={statistics.median(a[0] for a, _ in times):.1f}")
    print(f"sklearn_seconds={statistics.median(b[0] for _, b in times):.1f}")
    print(f"mixture_log_likelihood={likelihood(values, found['ours']):.4f}")
    print(f"sklearn_log_likelihood={likelihood(values, found['theirs']):.4f}")


def own_memory_gb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1e6


def mapped(patches: int) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(scale=1.0, size=(32, WIDTH)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patches.npy"
        values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(patches, WIDTH))
        for first in range(0, patches, 20_000):
            values[first : first + 20_000] = patches_of(len(values[first : first + 20_000]), rng, centres)
        start = start_of(np.asarray(values[:50_000]), rng)
        before, peak, done = own_memory_gb(), [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                peak[0] = max(peak[0], own_memory_gb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        seconds, _ = timed(lambda: fit_mixture(ArrayRows(values), start, steps=1))
        done.set()
        watcher.join()
        print(f"mapped_gb={max(0.0, peak[0] - before):.3f}")
        print(f"mapped_process_gb={peak[0]:.3f}")
        print(f"mapped_step_seconds={seconds / 2:.1f}")


def nystrom(rounds: int, tokens: int = 4096) -> None:
    from nystrom_attention import NystromAttention as Package

    torch.manual_seed(0)
    ours = NystromAttention(512, 8, landmarks=256, dropout=0.0)
    theirs = Package(512, dim_head=64, heads=8, num_landmarks=256, pinv_iterations=6, residual=True, dropout=0.0)
    renamed = {"to_out.weight": "to_out.0.weight", "to_out.bias": "to_out.0.bias", "residual.weight": "res_conv.weight"}
    theirs.load_state_dict({renamed.get(name, name): value for name, value in ours.state_dict().items()})
    bag = torch.randn(1, tokens, 512)

    def step(block: torch.nn.Module) -> Callable[[], None]:
        return lambda: block(bag).square().mean().backward()

    with torch.no_grad():
        print(f"nystrom_difference={float((ours(bag) - theirs(bag)).abs().max()):.2e}")
    step(ours)(), step(theirs)()
    times = [(timed(step(ours)), timed(step(theirs))) for _ in range(rounds)]
    for clock, place in (("", 0), ("_cpu", 1)):
        print(f"nystrom_ratio{clock}={statistics.median(a[place] / b[place] for a, b in times):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=300_000)
    parser.add_argument("--mapped", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nystrom", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.nystrom:
        nystrom(asked.rounds * 3)
    if asked.patches:
        beside_sklearn(asked.patches, asked.steps, asked.rounds)
    if asked.mapped:
        mapped(asked.mapped)


if __name__ == "__main__":
    main()
