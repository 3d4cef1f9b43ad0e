"""What explaining a slide costs, from stored features: weights of one pass, MIRROR's in covering draws, removal.

    PYTHONPATH=workflow python benchmarks/explain.py [--patches 10000] [--threads 2]

Slides of the stated number of patches of 1,024 values in h5, networks of their published sizes with untrained weights
(what they cost does not depend on it), read and computed as rule explain_slides does; imports apart. The last lines
are name=value: seconds and CPU seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from mirrorflow.learners.explained import Asked, Draws, HeadOnUnit, NetworkOnUnit, answer_of
from mirrorflow.learners.network import NETWORK
from mirrorflow.learners.saved import SavedModel
from mirrorflow.models.families import family_of
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.store.features import read_coords, read_features
from mirrorflow.training.removal import deletion_curve, effects, neighbours

PATCH_DIM, GENES, CLASSES = 1024, 2000, 3


def write_slide(path: Path, patches: int) -> None:
    """A slide's features in float16, as stored, with places on a square."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(patches**0.5))
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "features", data=rng.normal(size=(patches, PATCH_DIM)).astype(np.float16), chunks=(256, PATCH_DIM)
        )
        file["coords"] = np.stack([np.arange(patches) % side, np.arange(patches) // side], axis=1) * 512


def saved_network(family: str) -> SavedModel:
    """An untrained network of the family's own sizes, as its file has it."""
    sizes = Sizes(PATCH_DIM, 0, CLASSES)
    network = build_network(family, sizes, {}, seed=0)
    arrays = {f"{NETWORK}{name}": tensor.numpy() for name, tensor in network.state_dict().items()}
    given = {"patch_dim": PATCH_DIM, "gene_count": 0, "outputs": CLASSES, "gene_sets": ()}
    config = {"family": family, "network": {}, "sizes": given, "task": "subtyping", "epoch": None}
    return SavedModel(Path("none"), arrays, config)


def on_network(family: str, path: Path) -> NetworkOnUnit:
    """The network on the slide, read from its file."""
    return NetworkOnUnit(saved_network(family), read_features(path)[0], np.zeros(0, np.float32))


def on_mirror(path: Path, covers: int) -> HeadOnUnit:
    """MIRROR of its published size (768, 2,048 tokens, Nystrom attention) with a head, on the slide."""
    family = family_of("mirror")
    settings = family.settings(patch_dim=PATCH_DIM, gene_count=GENES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = family.network(settings).eval()
    rng = np.random.default_rng(0)
    width: int = network.settings.width
    arrays = {
        "head.weight": rng.normal(size=(CLASSES, 2 * width)).astype(np.float32),
        "head.bias": np.zeros(CLASSES, np.float32),
    }
    saved = SavedModel(Path("none"), arrays, {"epoch": 1, "task": "subtyping"})
    draws = Draws(network.settings.tokens, "resample", covers, 0)
    return HeadOnUnit(saved, network, read_features(path)[0], rng.normal(size=width).astype(np.float32), draws)


def timed(found: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """Seconds and CPU seconds of ``work``, under ``name``; what it gives."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    found[f"{name}_s"], found[f"{name}_cpu_s"] = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name}: {found[f'{name}_s']:.2f} s, {found[f'{name}_cpu_s']:.2f} CPU s", flush=True)
    return result


def main() -> None:
    """Measure, then print name=value lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--covers", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.h5"
        write_slide(path, asked.patches)
        groups = neighbours(np.asarray(read_coords(path), float), 20)
        for family in ("abmil", "clam"):
            timed(found, f"attention_{family}", lambda family=family: on_network(family, path).weights())
        abmil = on_network("abmil", path)
        answer = answer_of(abmil, Asked("log-odds", 0))
        timed(found, "removal_abmil_20_groups", lambda: effects(answer, abmil.patches, groups))
        weights = abmil.weights()[0].values
        timed(found, "deletion_abmil", lambda: deletion_curve(answer, weights, steps=10, orders=5, seed=0))
        mirror = on_mirror(path, asked.covers)
        timed(found, f"attention_mirror_{asked.covers}_covers", mirror.weights)
        found["mirror_draws"] = sum(map(len, mirror.draws.of(asked.patches)))
        timed(found, "answer_mirror", lambda: mirror.logits(np.arange(mirror.patches)))
    for name, value in found.items():
        print(f"{name}={value:.4g}")


if __name__ == "__main__":
    main()
