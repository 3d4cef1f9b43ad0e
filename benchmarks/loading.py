"""Bags from feature files to batches, moments of patches: `python benchmarks/loading.py [CHECKOUT] [--quick]`.

Published size: 16 bags of 2,048 patches of 1,024 values (float32) from h5 files that the page cache holds, on one core.
With the path of another checkout (`git worktree add ../before <commit>`) both are measured in turns, each in processes
of its own, and the ratios of their CPU seconds are printed: they bear other load on the machine better than the clock.
Values of both are compared to the bit. Figures come last, as name=value lines.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
WIDTH, TOKENS, BATCH, ROWS, CHUNK = 1024, 2048, 16, 6000, 256
COMPRESSED, FEW_ROWS, NARROW = 400, 64, 192
"""Files, patches and values of a cohort as public collections hand it out: float16, gzip."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path, help="another checkout, to compare with")
    parser.add_argument("--quick", action="store_true", help="one round of two batches")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(Path(args.child[0]), int(args.child[1]))))
        return
    sides = {"here": ROOT} | ({"other": args.other.resolve()} if args.other else {})
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        found = rounds(sides, folder, 1 if args.quick else args.rounds, 2 if args.quick else 8)
    report(found)


def rounds(sides: dict[str, Path], folder: str, count: int, batches: int) -> dict[str, dict[str, Any]]:
    """The best round of each side: most bags a second, fewest seconds."""
    best: dict[str, dict[str, Any]] = {}
    for turn in range(count):
        for side, checkout in sides.items():
            figures = child(checkout, folder, batches)
            print(f"round {turn + 1}, {side}: {figures}", flush=True)
            kept = best.setdefault(side, figures)
            for name, value in figures.items():
                if name.startswith("bags"):
                    kept[name] = max(kept[name], value)
                elif name.endswith("_s"):
                    kept[name] = min(kept[name], value)
    return best


def report(found: dict[str, dict[str, Any]]) -> None:
    for side, figures in found.items():
        for name, value in figures.items():
            print(f"{side}_{name}={value}")
    if "other" in found:
        here, other = found["here"], found["other"]
        print(f"same_batches={here['batch_digest'] == other['batch_digest']}")
        print(f"same_moments={here['moments_digest'] == other['moments_digest']}")
        print(f"loader_ratio={here['bags_per_cpu_second'] / other['bags_per_cpu_second']:.2f}")
        print(f"moments_first_ratio={other['moments_first_cpu_s'] / here['moments_first_cpu_s']:.2f}")
        print(f"moments_again_ratio={other['moments_again_cpu_s'] / here['moments_again_cpu_s']:.2f}")
        print(f"next_case_ratio={other['next_case_cpu_s'] / here['next_case_cpu_s']:.1f}")


def child(checkout: Path, folder: str, batches: int) -> dict[str, Any]:
    """Figures of a checkout in a fresh process with one thread."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--child", folder, str(batches)]
    return json.loads(subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def write_files(folder: Path) -> None:
    """A bag a file, as extract_features lays it out."""
    import h5py

    rng = np.random.default_rng(0)
    for number in range(BATCH):
        with h5py.File(folder / f"{number}.h5", "w") as file:
            values = rng.standard_normal((ROWS, WIDTH), dtype=np.float32)
            file.create_dataset("features", data=values, chunks=(CHUNK, WIDTH), maxshape=(None, WIDTH))
    (folder / "compressed").mkdir()
    for number in range(COMPRESSED):
        with h5py.File(folder / "compressed" / f"{number}.h5", "w") as file:
            rows = rng.standard_normal((FEW_ROWS, NARROW)).astype(np.float16)
            file.create_dataset("features", data=rows, chunks=(32, 96), compression="gzip")
    time.sleep(3)  # files are known again once they are older than the clock's ticks


def measure(folder: Path, batches: int) -> dict[str, Any]:
    """Figures of the package that is imported."""
    import torch

    torch.set_num_threads(1)
    files = [[folder / f"{number}.h5"] for number in range(BATCH)]
    compressed = [[folder / "compressed" / f"{number}.h5"] for number in range(COMPRESSED)]
    return draws(files, batches) | moments(files, folder / "moments") | cases(compressed, folder / "moments")


def draws(files: list[list[Path]], batches: int) -> dict[str, Any]:
    """Batches drawn one after the other, after one to warm up."""
    from mirrorflow.store.bags import FeatureBags

    draw, bags = drawer(), FeatureBags(files, 0.0)
    digest = hashlib.sha256()

    def batch(number: int) -> Any:
        rngs = [np.random.default_rng([number, row]) for row in range(BATCH)]
        return draw(bags, np.arange(BATCH), tokens=TOKENS, short="resample", rngs=rngs)

    for number in range(2):
        digest.update(batch(number).patches.numpy().tobytes())
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(batches):
        batch(number)
    units = batches * BATCH
    return {
        "bags_per_second": units / (time.perf_counter() - wall),
        "bags_per_cpu_second": units / (time.process_time() - cpu),
        "batch_digest": digest.hexdigest()[:16],
    }


def drawer() -> Callable[..., Any]:
    """The loader, or what came before it."""
    import torch

    try:
        from mirrorflow.training.loading import Loader
    except ImportError:
        from mirrorflow.training.bags import draw_batch

        return draw_batch
    return Loader(torch.device("cpu")).draw


def bags_of(files: list[list[Path]], cache_gb: float, kept: Path) -> Any:
    """Bags whose moments are kept in a folder, where the checkout keeps any."""
    from mirrorflow.store.bags import FeatureBags

    try:
        return FeatureBags(files, cache_gb, moments=kept)
    except TypeError:
        return FeatureBags(files, cache_gb)


def moments(files: list[list[Path]], kept: Path) -> dict[str, Any]:
    """Mean and deviation of all patches, for a first fold and for a second one."""
    from mirrorflow.training.bags import patch_moments

    seconds, found = [], None
    for _ in range(2):
        bags = bags_of(files, 0.0, kept)
        started = time.process_time()
        found = patch_moments(bags)
        seconds.append(time.process_time() - started)
    for record in kept.glob("*"):
        record.unlink()
    digest = hashlib.sha256(np.stack(found).tobytes()).hexdigest()[:16]  # type: ignore[arg-type]
    return {"moments_first_cpu_s": seconds[0], "moments_again_cpu_s": seconds[1], "moments_digest": digest}


def cases(files: list[list[Path]], kept: Path) -> dict[str, float]:
    """What a first and a second case of a process read of compressed files: headers, moments, every bag."""
    from mirrorflow.training.bags import patch_moments

    seconds = []
    for _ in range(2):
        started = time.process_time()
        bags = bags_of(files, 4.0, kept)
        patch_moments(bags)
        for unit in range(len(bags)):
            bags[unit]
        seconds.append(time.process_time() - started)
    for record in kept.glob("*"):
        record.unlink()
    return {"first_case_cpu_s": seconds[0], "next_case_cpu_s": seconds[1]}


if __name__ == "__main__":
    main()
