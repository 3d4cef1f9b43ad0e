"""MIRROR's pretraining step at the published dimensions: samples/s by attention and precision.

    python benchmarks/pretrain.py [CHECKOUT] [--quick] [--batch 4] [--rounds 3] [--device auto] [--only-ratios]

Patch features 768, 10,234 genes, width 768, 2,048 tokens; one optimisation step (draw, forward, losses,
backward, fused Adam). Beside our two attention forms the `nystrom-attention` package (pip, version 0.0.14)
stands in the same model with the same weights. Settings take turns, round by round, so that other load on
the machine hits them alike; the best round of each counts. CPU seconds a sample (all threads together, on
a CPU) are beside the wall clock's samples/s: they bear other load on the machine better. Figures come last,
as name=value lines.

With the path of another checkout one Nystrom block (forward and backward, published size) and the embedding of a cohort
(width 384, 64 tokens, bags in memory) are measured in both, in turns, each in processes of its own. `embed_ratio` is of
wall seconds with --threads cores (2), as a job has them: measure it on a quiet machine. `nystrom_block_ratio` and
`embed_one_core_ratio` are of CPU seconds on one core, `embed_cpu_ratio` of CPU seconds with all threads. On the same
weights their outputs are compared (`*_difference`, the largest).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from package_block import PackageBlock
from torch import nn

from mirrorflow.models.mirror import DownstreamModel, Mirror, MirrorSettings, build_mirror
from mirrorflow.training.bags import ArrayBags

try:
    from mirrorflow.training.devices import choose_device, has_fast_bfloat16
except ImportError:  # an earlier checkout, as a child
    from mirrorflow.training.schedule import choose_device, has_fast_bfloat16
try:
    from mirrorflow.learners.pretrained import pretrain
except ImportError:
    from mirrorflow.training.pretraining import pretrain
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import PretrainSettings

PUBLISHED = MirrorSettings(patch_dim=768, gene_count=10_234)
VARIANTS = {
    "package_nystrom_float32": ("package", "float32"),
    "nystrom_float32": ("nystrom", "float32"),
    "exact_float32": ("exact", "float32"),
    "nystrom_bfloat16": ("nystrom", "bfloat16"),
    "exact_bfloat16": ("exact", "bfloat16"),
}


def build(attention: str) -> Mirror:
    form = "nystrom" if attention == "package" else attention
    model = build_mirror(dataclasses.replace(PUBLISHED, attention=form), seed=0)
    if attention == "package":
        for block in (model.slide_encoder.first, model.slide_encoder.second, model.slide_retention.block):
            block.attention = PackageBlock(block.attention)
    return model


def measure(attention: str, precision: str, *, batch: int, steps: int, device: str) -> tuple[float, float]:
    """Samples/s and CPU seconds a sample of the best epoch (of one step) after the first, which warms up."""
    rng = np.random.default_rng(0)
    some = [rng.normal(size=(2500, PUBLISHED.patch_dim)).astype(np.float32) for _ in range(batch)]
    # A GPU is given 20 steps an epoch: of a single one nothing is drawn ahead.
    bags = ArrayBags(some * (20 if choose_device(device).type == "cuda" else 1))
    genes = rng.normal(size=(len(bags), PUBLISHED.gene_count)).astype(np.float32)
    settings = PretrainSettings(epochs=1 + steps, batch_size=batch, precision=precision)
    ends: list[float] = []
    history = pretrain(
        build(attention),
        PairedData(bags, genes),
        settings,
        layout=Layout(device),
        on_epoch=lambda *_: ends.append(time.process_time()),
    )
    rate = max(row["samples_per_second"] for row in history[1:])
    return rate, float(np.diff(ends).min()) / len(bags)


def peak_tflops(device: torch.device, precision: str) -> float:
    """What a plain matrix product reaches on this device, in 10^12 operations/s: the ceiling of the model."""
    size = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(6):
        _synchronise(device)
        started = time.perf_counter()
        a @ a
        _synchronise(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e12)
    return best


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", type=Path, help="another checkout, to compare with")
    parser.add_argument("--only-ratios", action="store_true", help="nothing but the comparison with it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="batch 2, one round of one step")
    parser.add_argument("--batch", type=int, help="units in a batch (default: 4 on a CPU, 16 on a GPU)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(parts(Path(arguments.child), arguments.threads)))
        return
    ratios = {}
    if arguments.other:
        ratios = compared(arguments.other.resolve(), 1 if arguments.quick else arguments.rounds, arguments.threads)
    if not arguments.only_ratios:
        steps(arguments)
    for name, value in ratios.items():
        print(f"{name}={value:.3g}")


def steps(arguments: argparse.Namespace) -> None:
    """Samples/s of every variant."""
    torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    batch = arguments.batch or (16 if device.type == "cuda" else 4)
    rounds, steps = arguments.rounds, 2 if device.type == "cpu" else 10
    if arguments.quick:
        batch, rounds, steps = min(batch, 2), 1, 1

    rates, cpu = dict.fromkeys(VARIANTS, 0.0), dict.fromkeys(VARIANTS, float("inf"))
    for turn in range(rounds):
        for name, (attention, precision) in VARIANTS.items():
            rate, cpu_s = measure(attention, precision, batch=batch, steps=steps, device=arguments.device)
            rates[name], cpu[name] = max(rates[name], rate), min(cpu[name], cpu_s)
            print(f"round {turn + 1}: {name} {rate:.3f} samples/s, {cpu_s:.2f} CPU s a sample", flush=True)

    model = build_mirror(PUBLISHED, seed=0)
    print(f"device={device} batch={batch} threads={arguments.threads} fast_bfloat16={has_fast_bfloat16(device)}")
    for precision in ("float32", "bfloat16"):
        print(f"matmul_peak_tflops_{precision}={peak_tflops(device, precision):.3f}")
    for name in VARIANTS:
        print(f"{name}={rates[name]:.3f}")
        print(f"{name}_cpu_s_per_sample={cpu[name]:.3f}")
    package, package_cpu = rates.pop("package_nystrom_float32"), cpu.pop("package_nystrom_float32")
    print(f"nystrom_over_package={rates['nystrom_float32'] / package:.2f}")
    print(f"nystrom_over_package_by_cpu_time={package_cpu / cpu['nystrom_float32']:.2f}")
    print(f"best_over_package={max(rates.values()) / package:.2f}")
    print(f"best_over_package_by_cpu_time={package_cpu / min(cpu.values()):.2f}")
    print(f"params_pretrain_m={_millions(model):.2f}")
    print(f"params_downstream_m={_millions(DownstreamModel(model)):.2f}")


def compared(other: Path, rounds: int, threads: int) -> dict[str, float]:
    """Ratios of seconds, the other checkout's over ours, and how far outputs differ."""
    sides = {"here": Path(__file__).parents[1], "other": other}
    best: dict[str, dict[str, float]] = {side: {} for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for side, checkout in sides.items():
                environment = os.environ | {"PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": str(threads)}
                words = [sys.executable, __file__, "--child", f"{folder}/{side}", "--threads", str(threads)]
                found = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
                print(f"round {turn + 1}, {side}: {found.strip()}", flush=True)
                for name, seconds in json.loads(found).items():
                    best[side][name] = min(seconds, best[side].get(name, float("inf")))
        outputs = [np.load(Path(folder) / f"{side}.npz") for side in sides]
        differences = {
            f"{name}_difference": float(np.abs(outputs[0][name] - outputs[1][name]).max()) for name in outputs[0]
        }
    return {f"{name}_ratio": best["other"][name] / best["here"][name] for name in best["here"]} | differences


def parts(outputs: Path, threads: int) -> dict[str, float]:
    """Seconds of a block and of a cohort's embedding in the package that is imported; what they gave is saved."""
    torch.set_num_threads(1)
    block_s, block = block_step()
    network = network_of(outputs.with_name("weights.pt"))
    _, one_core_s, embedded = cohort_embedding(network)
    torch.set_num_threads(threads)
    wall_s, cpu_s, _ = cohort_embedding(network)
    np.savez(outputs.with_suffix(".npz"), nystrom_block=block, embed=embedded)
    return {"nystrom_block": block_s, "embed": wall_s, "embed_one_core": one_core_s, "embed_cpu": cpu_s}


def network_of(weights: Path) -> Mirror:
    """A network of width 384, with the weights that the first side left: fresh ones differ between checkouts."""
    settings: dict[str, Any] = {"patch_dim": 384, "gene_count": 500, "width": 384, "tokens": 64, "prototypes": 50}
    network = build_mirror(MirrorSettings(**settings), seed=0)
    if weights.exists():
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        torch.save(network.state_dict(), weights)
    return network


def block_step() -> tuple[float, np.ndarray]:
    """The best of several forward and backward passes of one sample."""
    from mirrorflow.models.transmil import AttentionBlock

    torch.manual_seed(0)
    block = AttentionBlock("nystrom", 768, 8, landmarks=384, dropout=0.0)
    tokens, weights = torch.randn(2, 1, 2117, 768).unbind(0)
    tokens.requires_grad_()
    best, found = float("inf"), tokens
    for _ in range(5):
        started = time.process_time()
        found = block(tokens)
        (found * weights).sum().backward()
        best = min(best, time.process_time() - started)
    return best, found.detach().numpy()


def cohort_embedding(network: Mirror) -> tuple[float, float, np.ndarray]:
    """120 units of 64 tokens: wall and CPU seconds, the best of five, and the vectors."""
    from mirrorflow.training.embedding import EmbedSettings, embed

    rng = np.random.default_rng(0)
    bags = ArrayBags([rng.normal(size=(100, 384)).astype(np.float32) for _ in range(120)])
    genes, names = rng.normal(size=(120, 500)).astype(np.float32), [f"P{i}" for i in range(120)]
    wall, cpu, found = float("inf"), float("inf"), np.zeros(0)
    for _ in range(5):
        started, spent = time.perf_counter(), time.process_time()
        found = embed(network, bags, genes, names, EmbedSettings(tokens=64), seed=0, device="cpu").slide
        wall, cpu = min(wall, time.perf_counter() - started), min(cpu, time.process_time() - spent)
    return wall, cpu, found


def _millions(model: nn.Module) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


if __name__ == "__main__":
    main()
