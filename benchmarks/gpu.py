"""What benchmarks/gpu.sh runs: figures and checks of the GPU paths, each part by itself, the telling ones first.

    PYTHONPATH=workflow python benchmarks/gpu.py [--device cuda] [--small] [--budget 440] [--out FOLDER]

Data are simulated and steps are called directly. A part that fails says FAIL and the next goes on; one that the time no
longer allows, or that wants a package which is not there, says SKIP; one that takes three times as long as it should is
cut off and says LATE. With `--device cpu --small` all of it runs on a CPU in seconds: that is tested, on a machine that
has no more than torch, timm and numpy.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import stacked_folds
import torch

from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.models import seam
from mirrorflow.models.banded import along_sequence
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Output
from mirrorflow.models.supervised import Sizes
from mirrorflow.models.supervised import build_network as build_supervised
from mirrorflow.runtime.pool import read_then_work
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.encoders import build_encoder
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.compute import lay_out
from mirrorflow.training.devices import arithmetic_of, choose_device, make_deterministic, wait_for, wheel
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData, Pretraining
from mirrorflow.training.resident import free_all
from mirrorflow.training.settings import ComputeSettings, SupervisedSettings
from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.supervised import LabelledUnits, Units, predict_units, train_supervised
from mirrorflow.training.trainer import Course, Group, Trainer, peak_memory_mb
from mirrorflow.training.world import ProcessGroup

GPU_TIMES, GPU_STREAMS = 4, 2
"""Batches and streams of extraction on a GPU, as in steps/slides/extract_features.py, which wants more packages."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda")
parser.add_argument("--small", "--quick", action="store_true", help="sizes for a CPU")
parser.add_argument("--budget", type=float, default=440, help="seconds")
parser.add_argument("--out", type=Path, default=Path("results-gpu"))
A = parser.parse_args()

STARTED = time.monotonic()
FIGURES: dict[str, Any] = {}
DEVICE = choose_device(A.device)
RNG = np.random.default_rng(0)
FULL = {"patch_dim": 1024, "gene_count": 10_234, "width": 768, "tokens": 2048}
SMALL = {"patch_dim": 64, "gene_count": 100, "width": 48, "tokens": 50, "prototypes": 50}
SIZES = SMALL if A.small else FULL
BATCH = 4 if A.small else 16


def pretrain(network: PairedNetwork, data: PairedData, settings: PretrainSettings) -> list[dict[str, float]]:
    """As a fold is pretrained, without the files that it leaves (a bare machine cannot write them all)."""
    training = Pretraining(network, data, settings, Layout(A.device))
    training.scale_patches()
    return Trainer(training, Course(settings.epochs, training.steps)).fit()


def say(text: str) -> None:
    print(text, flush=True)
    with (A.out / "gpu.txt").open("a") as stream:
        stream.write(text + "\n")


def figure(name: str, value: float) -> None:
    FIGURES[name] = value = float(value)
    say(f"{name}={value:.5g}")
    (A.out / "gpu.json").write_text(json.dumps(FIGURES, indent=1))


class LateError(Exception):
    """A part takes too long."""


def _late(*_: object) -> None:
    raise LateError


@contextlib.contextmanager
def part(name: str, seconds: float) -> Iterator[None]:
    """A part that takes about ``seconds``, and no more than three times as many; what goes wrong in it is told."""
    started = time.monotonic()
    signal.signal(signal.SIGALRM, _late)
    left = A.budget - (started - STARTED)
    # A body cannot be left out from here: without time for it, it is cut off at once.
    signal.setitimer(signal.ITIMER_REAL, min(3 * seconds, left + 20) if left > seconds else 1e-6)
    try:
        yield
        say(f"ok   {name} ({time.monotonic() - started:.1f} s)")
    except LateError:
        cut = f"LATE {name}: cut off after {time.monotonic() - started:.0f} s"
        say(cut if left > seconds else f"SKIP {name}: out of time")
    except ModuleNotFoundError as error:
        say(f"SKIP {name}: {error}")
    except Exception:
        FIGURES.setdefault("failed", []).append(name)
        say(f"FAIL {name}\n" + "".join(traceback.format_exc().splitlines(keepends=True)[-8:]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def seconds_of(work: Callable[[], Any], times: int = 8) -> float:
    """Mean seconds, after two calls to warm up; where sizes are small, of one call after another."""
    warm_up, timed = (1, 1) if A.small else (2, times)
    for _ in range(warm_up):
        work()
    wait_for(DEVICE)
    started = time.perf_counter()
    for _ in range(timed):
        work()
    wait_for(DEVICE)
    return (time.perf_counter() - started) / timed


class Step:
    """Optimisation steps on a batch that lies on the device."""

    def __init__(self, attention: str, precision: str, **compute: Any) -> None:
        form = "nystrom" if attention == "package" else attention
        settings = family_of("mirror").settings(**SIZES, attention=form)
        self.network = build_network("mirror", settings, 0)
        if attention == "package":
            from package_block import PackageBlock

            for block in self.network.heavy_blocks():
                block.attention = PackageBlock(block.attention)
        self.network = self.network.to(DEVICE).train()
        lay_out(self.network, ComputeSettings(**compute))
        arithmetic = arithmetic_of(precision, DEVICE, SIZES["width"])
        self.scaler = arithmetic.scaler()
        self.optimizer = Course(1, 1).optimizer_of([Group(list(self.network.parameters()), 2e-5)])
        self.gradients = Gradients(self.network, arithmetic, compute.get("micro_batch"), ProcessGroup(), self.scaler)
        patches = torch.randn(BATCH, SIZES["tokens"], SIZES["patch_dim"], device=DEVICE)
        genes = torch.randn(BATCH, SIZES["gene_count"], device=DEVICE)
        self.inputs = StepInputs(patches, genes, None, None, 0, BATCH)

    def __call__(self) -> None:
        """One step."""
        self.network.prepare_step()
        self.optimizer.zero_grad(set_to_none=True)
        self.gradients.backward(self.inputs, 0, lambda _: None)
        self.scaler.step(self.optimizer)
        self.scaler.update()


def rate(name: str, attention: str, precision: str, **compute: Any) -> None:
    with part(f"step {name}", 20):
        figure(f"samples_per_second_{name}", BATCH / seconds_of(Step(attention, precision, **compute)))
        figure(f"peak_gb_{name}", peak_memory_mb(DEVICE) / 1e3)


def machine() -> None:
    with part("machine", 5):
        say(f"{DEVICE} {torch.cuda.get_device_name(DEVICE) if DEVICE.type == 'cuda' else 'CPU'}; {wheel()}")
        if DEVICE.type == "cuda":
            say(f"capability {torch.cuda.get_device_capability(DEVICE)}, code for {torch.cuda.get_arch_list()}")
            host = torch.empty(2**25)
            there = torch.empty_like(host, device=DEVICE)
            for name, source in (("pageable", host), ("pinned", host.pin_memory())):
                figure(
                    f"copy_{name}_gb_per_second", 0.134 / seconds_of(lambda s=source: there.copy_(s, non_blocking=True))
                )


def steps() -> None:
    """Steps at published size, the package's model in the same run."""
    rate("nystrom_bfloat16", "nystrom", "bfloat16")
    rate("package_float32", "package", "float32")
    rate("exact_bfloat16", "exact", "bfloat16")
    rate("nystrom_tf32", "nystrom", "tf32")
    rate("nystrom_float32", "nystrom", "float32")
    ours, theirs = (FIGURES.get(f"samples_per_second_{name}") for name in ("nystrom_bfloat16", "package_float32"))
    if ours and theirs:
        figure("nystrom_bfloat16_over_package", ours / theirs)


def more_steps() -> None:
    rate("package_bfloat16", "package", "bfloat16")
    rate("exact_tf32", "exact", "tf32")
    rate("nystrom_float16", "nystrom", "float16")
    rate("nystrom_bfloat16_checkpointing", "nystrom", "bfloat16", activation_checkpointing=True)
    rate("nystrom_bfloat16_micro4", "nystrom", "bfloat16", micro_batch=BATCH // 4)
    if not A.small:
        rate("nystrom_bfloat16_compiled", "nystrom", "bfloat16", compile=True)
        rate("exact_bfloat16_compiled", "exact", "bfloat16", compile=True)


def loop() -> None:
    """The real loop from h5 files: the seconds it waited for data."""
    with part("loop from h5", 60), tempfile.TemporaryDirectory() as name:
        import h5py

        from mirrorflow.store.bags import FeatureBags

        files = []
        for number in range(8 if A.small else 48):
            path = Path(name) / f"{number}.h5"
            rows = RNG.standard_normal((200 if A.small else 6000, SIZES["patch_dim"]), dtype=np.float32)
            with h5py.File(path, "w") as file:
                file.create_dataset("features", data=rows, chunks=(min(256, len(rows)), SIZES["patch_dim"]))
            files.append([path])
        network = build_network("mirror", family_of("mirror").settings(**SIZES), 0)
        genes = RNG.standard_normal((len(files), SIZES["gene_count"]), dtype=np.float32)
        settings = PretrainSettings(epochs=4, batch_size=BATCH, tokens=SIZES["tokens"], precision="auto")
        history = pretrain(network, PairedData(FeatureBags(files, 0), genes), settings)
        for row in history[1:]:
            waited = f"{row['waited_seconds']:.2f} of {row['seconds']:.2f} s"
            say(f"  {row['samples_per_second']:.1f} samples/s, waited {waited}")
        figure("loop_samples_per_second", max(row["samples_per_second"] for row in history[1:]))
        figure("loop_waited_share", min(row["waited_seconds"] / row["seconds"] for row in history[1:]))


def embedding() -> None:
    with part("embedding", 40):
        count = 8 if A.small else 64
        bags = ArrayBags([RNG.standard_normal((SIZES["tokens"], SIZES["patch_dim"]), dtype=np.float32)] * count)
        genes = RNG.standard_normal((count, SIZES["gene_count"]), dtype=np.float32)
        network = build_network("mirror", family_of("mirror").settings(**SIZES), 0)
        rates, found = {}, {}
        for name, size, precision in (
            ("one_by_one", 1, "float32"),
            ("batches", BATCH, "float32"),
            ("bfloat16", BATCH, "auto"),
        ):
            settings = EmbedSettings(tokens=SIZES["tokens"], batch_size=size, precision=precision)
            names = [str(number) for number in range(count)]
            work = partial(embed, network, bags, genes, names, settings, seed=0, device=A.device)
            found[name] = work()
            rates[name] = count / seconds_of(work, 1)
            figure(f"embedded_per_second_{name}", rates[name])
        figure("embed_ratio", max(rates["batches"], rates["bfloat16"]) / rates["one_by_one"])
        figure("embed_difference", np.abs(found["batches"].slide - found["one_by_one"].slide).max())


def features() -> None:
    """Encoder with its copies beside the bare network."""
    torch.backends.cudnn.benchmark = True
    size, count = (64, 2) if A.small else (224, 256)
    for model in ("resnet50", "timm/vit_tiny_patch16_224" if A.small else "phikon"):
        for precision in ("bfloat16", "tf32", "float32"):
            with part(f"features {model} {precision}", 15):
                side = 224 if model != "resnet50" else size
                spec = encoder_from(
                    {"name": "x", "model": model, "weights": "random", "precision": precision, "image_size": side}
                )
                encoder = build_encoder(spec, None, str(DEVICE))
                images = RNG.integers(0, 256, (count, side, side, 3), np.uint8)
                pixels = encoder.normalise(images)
                with torch.inference_mode():
                    bare = seconds_of(lambda e=encoder, p=pixels: e.network(p))
                whole = seconds_of(lambda e=encoder, i=images: e(i))
                name = f"{model.split('/')[-1]}_{precision}"
                figure(f"bare_patches_per_second_{name}", count / bare)
                figure(f"one_stream_over_bare_{name}", bare / whole)


class Classes:
    """Cross-entropy of classes as the trainer takes it; the workflow's own lies beside packages of survival."""

    def terms(self, out: Output, batch: seam.Batch, at: seam.Progress) -> dict[str, torch.Tensor]:
        """Of a batch."""
        return {"classes": torch.nn.functional.cross_entropy(out.logits, batch.targets.classes)}

    def weights(self, at: seam.Progress) -> dict[str, float]:
        """One term."""
        return {}


def supervised() -> None:
    """Epochs of a network on labels, its bags on the device, and what it predicts from bags as they come."""
    with part("supervised epoch", 30):
        count = 8 if A.small else 200
        rows = 150 if A.small else 6000
        bags = ArrayBags([RNG.standard_normal((rows, SIZES["patch_dim"]), dtype=np.float32)] * count)
        units = Units(bags, np.zeros((count, 0), np.float32))
        targets = seam.TargetTensors(classes=torch.arange(count) % 2)
        settings = SupervisedSettings(epochs=3, tokens=SIZES["tokens"], min_steps=0)
        network = build_supervised("abmil", Sizes(SIZES["patch_dim"], 0, 2), {}, 0)
        trainer = train_supervised(network, LabelledUnits(units, targets, Classes()), settings, device=A.device)
        figure("abmil_samples_per_second", max(row["samples_per_second"] for row in trainer.history[1:]))
        free_all()
        predict = partial(predict_units, network, units, device=A.device)
        figure("abmil_predicted_per_second", count / seconds_of(predict, 1))


def against_the_cpu() -> None:
    """Without dropout, masks apart: the same embeddings and gradients as on the CPU, in float32."""
    tiny = {"patch_dim": 64, "gene_count": 40, "width": 96, "tokens": 50}
    bags = ArrayBags([RNG.standard_normal((size, 64), dtype=np.float32) for size in (30, 60, 45, 90)])
    genes = RNG.standard_normal((4, 40), dtype=np.float32)
    for family in ("mirror", "tangle"):
        for short in ("resample", "mask"):
            with part(f"embed {family} {short}: device against CPU", 5):
                network = build_network(family, family_of(family).settings(**tiny), 0)
                settings = EmbedSettings(tokens=50, short=short)
                found = [
                    embed(network, bags, genes, list("abcd"), settings, seed=0, device=d) for d in ("cpu", A.device)
                ]
                worst = max(np.abs(getattr(found[0], k) - getattr(found[1], k)).max() for k in ("slide", "rna"))
                figure(f"difference_embed_{family}_{short}", worst)
                assert worst < 1e-4, worst
    with part("resume: to the digit with deterministic", 10):
        make_deterministic(on=True)
        settings = PretrainSettings(epochs=3, batch_size=4, tokens=50, learning_rate=1e-3)
        runs = []
        for _ in range(2):
            network = build_network("mirror", family_of("mirror").settings(**tiny), 0)
            pretrain(network, PairedData(bags, genes), settings)
            runs.append([value.cpu() for value in network.state_dict().values()])
        make_deterministic(on=False)
        figure("difference_of_two_runs", max((a - b).abs().max().item() for a, b in zip(*runs, strict=True)))


def kernels() -> None:
    with part("kernels of a step", 20):
        from torch.profiler import ProfilerActivity, profile

        step = Step("nystrom", "bfloat16")
        seconds_of(step, 1)
        on_gpu = DEVICE.type == "cuda"
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
            step()
            wait_for(DEVICE)
        by = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
        say(found.key_averages().table(sort_by=by, row_limit=5 if A.small else 30, max_name_column_width=60))


def five_folds() -> None:
    """Five folds' steps one after the other in one process, and five networks as one stacked model."""
    with part("five folds stacked", 30):
        sizes = {"units": 12, "tokens": 20, "dim": 16, "steps": 3, "batch": 4}
        if not A.small:
            sizes = {"units": 200, "tokens": 2048, "dim": 1024, "steps": 40, "batch": 16}
        folds = stacked_folds.simulated(5, **sizes, device=A.device)
        for name, value in stacked_folds.compared(folds, A.device).items():
            figure(name, value)
    with part("five folds in turn", 30):
        folds = [Step("nystrom", "bfloat16") for _ in range(2 if A.small else 5)]
        figure("five_folds_samples_per_second", len(folds) * BATCH / seconds_of(lambda: [fold() for fold in folds], 3))


def extraction() -> None:
    """Patches read ahead of an encoder in two streams, as extract_features does: how long a stream waits for them.

    A patch is decoded from a PNG, which takes about as long as one of a slide.
    """
    with part("extraction", 40):
        side, size = (64, 8) if A.small else (224, GPU_TIMES * 64)
        spec = encoder_from({"name": "x", "model": "resnet50", "weights": "random", "image_size": side})
        encoder = build_encoder(spec, None, str(DEVICE))
        pictures = [picture(side) for _ in range(16)]
        waits: list[float] = []

        def read(batch: int) -> np.ndarray:
            return np.stack([decoded(pictures[(batch + row) % 16]) for row in range(size)])

        batches, readers = 4 if A.small else 40, max(1, (os.cpu_count() or 2) - 1)

        def encode(_: int, images: np.ndarray) -> np.ndarray:
            return encoder(images)

        for _ in read_then_work(range(2), read, encode, readers=readers, workers=GPU_STREAMS):
            pass  # kernels are loaded
        started = time.perf_counter()
        for _ in read_then_work(
            range(batches), read, encode, readers=readers, workers=GPU_STREAMS, waited=waits.append
        ):
            pass
        seconds = time.perf_counter() - started
        figure("extracted_patches_per_second", batches * size / seconds)
        figure("extraction_readers", readers)
        figure("extraction_waited_seconds", sum(waits) / GPU_STREAMS)
        figure("extraction_waited_share", sum(waits) / GPU_STREAMS / seconds)


def picture(side: int) -> bytes:
    """A patch as a file in memory."""
    from PIL import Image

    smooth = RNG.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(smooth).resize((side, side)).save(stream, "PNG")
    return stream.getvalue()


def decoded(picture: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)))


def residual() -> None:
    """The values' convolution as products with bands, beside torch's own, forward and backward."""
    for dtype in ("bfloat16", "float32"):
        with part(f"residual {dtype}", 8):
            shape = (BATCH, 8, 100 if A.small else 2304, SIZES["width"] // 8)
            values = torch.randn(shape, device=DEVICE, dtype=getattr(torch, dtype), requires_grad=True)
            taps = torch.randn(8, 33, device=DEVICE, dtype=values.dtype, requires_grad=True)

            for name, way in (("band", along_sequence), ("convolution", convolved)):
                work = partial(_there_and_back, way, values, taps)
                figure(f"residual_{name}_ms_{dtype}", 1e3 * seconds_of(work))


def convolved(values: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """torch's own."""
    return torch.nn.functional.conv2d(values, taps[:, None, :, None], padding=(16, 0), groups=8)


def _there_and_back(way: Callable[..., torch.Tensor], values: torch.Tensor, taps: torch.Tensor) -> None:
    way(values, taps).sum().backward()


if __name__ == "__main__":
    A.out.mkdir(parents=True, exist_ok=True)
    (A.out / "gpu.txt").write_text("")
    for one in (
        machine,
        steps,
        loop,
        against_the_cpu,
        embedding,
        features,
        extraction,
        supervised,
        residual,
        kernels,
        five_folds,
        more_steps,
    ):
        one()
    say(f"done after {time.monotonic() - STARTED:.0f} s; failed: {FIGURES.get('failed', [])}")
