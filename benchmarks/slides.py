"""Slides to features against the hardware: `python benchmarks/slides.py [--quick]`.

Makes pyramidal slides of 32,768 x 32,768 px at 0.25 um/px, a third of them H&E from ../shared/slides (simulated
where that is absent), and measures in fresh processes: segmentation and grid; feature extraction over what the
bare network does with the same weights, layout and threads on data that is already in memory. The bare network
runs in both ways a CPU can be used, one batch on all threads and one batch a thread; the faster one is what
extraction is compared with. Figures come last, as name=value.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "slides" / "CMU-1-Small-Region.svs"
SIDE, BLOCK, TILE = 32768, 4096, 256
LEVELS = {"scan40x": (1, 4, 16), "native20x": (1, 2, 4, 16)}
PATCHING = {"patch": {"size_px": 256, "mpp": 0.5, "min_tissue": 0.5}}
ENCODER = {"name": "resnet50-random", "model": "resnet50", "weights": "random", "image_size": 256}
THREADS = len(os.sched_getaffinity(0))
BATCH = 64
AGREEMENT = ("bfloat16_cosine", "bfloat16_cosine_min", "plain_loop_relative")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer patches and repeats: half a minute")
    parser.add_argument("--gpu", action="store_true", help="measure extraction on the GPU, too")
    parser.add_argument("--only-gpu", action="store_true", help="and nothing on the CPU")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        figures = CHILDREN[args.child[0]](*args.child[1:])
        print(json.dumps({"peak_mb": peak_mb()} | figures))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, float] = {}
        if args.only_gpu:
            write_slide(Path(folder) / "scan40x.svs", LEVELS["scan40x"])
            child("segment", Path(folder), "scan40x")
        else:
            figures = measure(Path(folder), patches=96 if args.quick else 288, repeats=1 if args.quick else 2)
        if args.gpu or args.only_gpu:
            figures |= measure_gpu(Path(folder))
    for name, value in figures.items():
        print(f"{name}={value:.4g}")


def measure(folder: Path, *, patches: int, repeats: int) -> dict[str, float]:
    """All figures of the CPU. Runs alternate and the best of each counts: the machine may not be ours alone."""
    for name, levels in LEVELS.items():
        write_slide(folder / f"{name}.svs", levels)
    segmented = [child("segment", folder, "scan40x") for _ in range(repeats)]
    child("segment", folder, "native20x")
    runs: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeats):
        for key, command in {
            "joint": ("bare", BATCH, "joint", "float32"),
            "streams": ("bare", 16, "streams", "float32"),
            "float32": ("extract", folder, "scan40x", patches, "float32"),
            "native": ("extract", folder, "native20x", patches, "float32"),
            "bfloat16": ("extract", folder, "scan40x", patches, "bfloat16"),
        }.items():
            runs.setdefault(key, []).append(child(*command))
            print(key, runs[key][-1], flush=True)
    rate = {key: max(run["rate"] for run in results) for key, results in runs.items()}
    memory = {key: max(run["peak_mb"] for run in results) for key, results in runs.items()}
    bare = max(rate["joint"], rate["streams"])
    agreement = child("agree", folder)
    few = child("extract", folder, "scan40x", patches // 3, "float32")
    cpu = {key: min(run["cpu_per_patch"] for run in results) for key, results in runs.items()}
    return {
        "seg_grid_seconds": min(run["seconds"] for run in segmented),
        "seg_grid_peak_mb": max(run["peak_mb"] for run in segmented),
        "bare_joint_per_second": rate["joint"],
        "bare_streams_per_second": rate["streams"],
        "features_per_second_float32": rate["float32"],
        "throughput_ratio_float32": rate["float32"] / bare,
        "throughput_ratio_float32_native": rate["native"] / bare,
        "throughput_ratio_float32_over_joint": rate["float32"] / rate["joint"],
        "features_per_second_bfloat16": rate["bfloat16"],
        "bfloat16_speedup": rate["bfloat16"] / rate["float32"],
        "extract_mb": memory["float32"],
        "extract_extra_mb": memory["float32"] - min(memory["joint"], memory["streams"]),
        "extract_growth_mb": memory["float32"] - few["peak_mb"],
        # In processor seconds, which other programs on the machine disturb less than the wall's.
        "cpu_ratio_float32": cpu["streams"] / cpu["float32"],
        "cpu_ratio_float32_native": cpu["streams"] / cpu["native"],
        "cpu_bfloat16_speedup": cpu["float32"] / cpu["bfloat16"],
        **{name: value for name, value in agreement.items() if name in AGREEMENT},
    }


def measure_gpu(folder: Path) -> dict[str, float]:
    """Extraction and bare network on the GPU, patches a second."""
    figures = {}
    for model in ("resnet50", "phikon"):
        for precision in ("float32", "tf32", "bfloat16"):
            bare = child("bare", 256, "joint", precision, "cuda", model)["rate"]
            ours = child("extract", folder, "scan40x", 5000, precision, "cuda", model)["rate"]
            figures[f"gpu_features_per_second_{model}_{precision}"] = ours
            figures[f"gpu_throughput_ratio_{model}_{precision}"] = ours / bare
    return figures


def encoder_of(model: str, precision: str) -> dict[str, Any]:
    """Random weights; Phikon sees 224 px."""
    return ENCODER | {"model": model, "precision": precision, "image_size": 224 if model == "phikon" else 256}


def child(*command: object) -> dict[str, float]:
    """Figures of one measurement in a fresh process, with its wall time from start to end."""
    started = time.monotonic()
    words = [sys.executable, __file__, "--child", *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    if process.wait():
        sys.exit(f"{' '.join(words)} failed")
    return {"seconds": time.monotonic() - started} | json.loads(output.splitlines()[-1])


def peak_mb() -> float:
    """Peak memory of this process alone (getrusage would count the parent's before the exec)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def segment(folder: str, name: str) -> dict[str, float]:
    """Mask, grid and thumbnail of one slide."""
    from mirrorflow.steps.slides.patch_slides import patch_shard
    from mirrorflow.store.slide_sheet import SlideRow

    out = Path(folder) / name
    if (out / "patches" / f"{name}.h5").exists():
        (out / "patches" / f"{name}.h5").unlink()
    patch_shard([SlideRow(name, "p", Path(folder) / f"{name}.svs")], out, out / "status.tsv", PATCHING)
    assert "torch" not in sys.modules
    return {}


def extract(
    folder: str, name: str, patches: str, precision: str, device: str = "cpu", model: str = "resnet50"
) -> dict[str, float]:
    """Features of the first patches of one slide; the rate from its first patch read to its file written.

    On a GPU the second time counts: kernels are loaded and chosen in the first.
    """
    from mirrorflow.steps.slides.encode_slides import Run
    from mirrorflow.steps.slides.extract_features import ShardFiles, extract_shard
    from mirrorflow.store.ledger import FEATURE_COLUMNS, read_rows
    from mirrorflow.store.slide_sheet import SlideRow

    out = Path(folder) / f"features-{name}-{precision}"
    status = out / "status.tsv"
    (out / f"{name}.h5").unlink(missing_ok=True)
    some = first_patches(Path(folder) / name, name, int(patches))
    row = SlideRow(name, "p", Path(folder) / f"{name}.svs")
    encoder = encoder_of(model, precision)
    how: dict[str, Any] = {"threads": THREADS, "workers": THREADS, "device": device}
    spent = []
    encode = Run.slides

    def timed(*args: Any, **options: Any) -> Any:
        before = time.process_time()
        result = encode(*args, **options)
        spent.append(time.process_time() - before)
        return result

    Run.slides = timed  # type: ignore[method-assign]
    for _ in range(1 if device == "cpu" else 2):
        (out / f"{name}.h5").unlink(missing_ok=True)
        size = {"batch_size": BATCH if device == "cpu" else 256}
        extract_shard([row], ShardFiles(some, out, status), encoder, size, **how)
    result = read_rows(status, FEATURE_COLUMNS)[0]
    done = int(result["patches"])
    return {"rate": done / float(result["seconds"]), "cpu_per_patch": spent[-1] / done}


def first_patches(patched: Path, name: str, count: int) -> Path:
    """A folder with the same patches file, cut to ``count`` patches spread over the slide."""
    from mirrorflow.store.patches import read_patches, write_patches

    patches = read_patches(patched / "patches" / f"{name}.h5")
    chosen = np.linspace(0, len(patches.coords) - 1, min(count, len(patches.coords))).astype(int)
    cut = patched / f"first{count}"
    settings = json.loads(patches.settings)
    coords = patches.coords[chosen]
    write_patches(cut / "patches" / f"{name}.h5", coords, patches.attributes, settings, patches.facts)
    return cut


def bare(batch: str, kind: str, precision: str, device: str = "cpu", model: str = "resnet50") -> dict[str, float]:
    """The network alone on resident, normalised data: on all threads at once, or a stream a thread."""
    import torch

    from mirrorflow.slides.encoder_settings import encoder_from
    from mirrorflow.slides.encoders import build_encoder

    encoder = build_encoder(encoder_from(encoder_of(model, precision)), None, device)
    side = encoder.image_size
    images = np.random.default_rng(0).integers(0, 256, (int(batch), side, side, 3), np.uint8)
    pixels = encoder.normalise(images)
    streams = 1 if kind == "joint" else THREADS

    def run(batches: int) -> None:
        torch.set_num_threads(THREADS // streams)
        with torch.inference_mode():
            for _ in range(batches):
                encoder.network(pixels)[0, 0].item()

    run(1)
    batches = max(2, 320 // (int(batch) * streams)) if device == "cpu" else 40
    done = batches * streams * int(batch)
    started, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(run, [batches] * streams))
    return {"rate": done / (time.monotonic() - started), "cpu_per_patch": (time.process_time() - cpu) / done}


def agree(folder: str) -> dict[str, float]:
    """bfloat16 against float32 (after subtracting the mean), float32 against a plain loop."""
    import torch

    from mirrorflow.slides.encoder_settings import encoder_from
    from mirrorflow.slides.encoders import build_encoder
    from mirrorflow.slides.reader import open_slide
    from mirrorflow.store.features import read_features

    made = {key: Path(folder) / f"features-scan40x-{key}" / "scan40x.h5" for key in ("float32", "bfloat16")}
    (whole, coords), (half, other_coords) = (read_features(path) for path in made.values())
    assert coords is not None
    assert np.array_equal(coords, other_coords)
    one, other = whole - whole.mean(0), half - half.mean(0)
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    encoder = build_encoder(encoder_from(ENCODER), None, "cpu")
    mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
    worst = 0.0
    with open_slide(Path(folder) / "scan40x.svs") as slide, torch.inference_mode():
        for index in np.linspace(0, len(coords) - 1, 12).astype(int):
            patch = slide.read(0, *coords[index], 512, 512)
            patch = cv2.resize(patch, (256, 256), interpolation=cv2.INTER_AREA)
            image = ((torch.from_numpy(patch) / 255 - mean) / std).permute(2, 0, 1)[None]
            expected = encoder.network(image).numpy()[0]
            worst = max(worst, float(np.abs(whole[index] - expected).max() / np.abs(expected).max()))
    return {
        "bfloat16_cosine": float(np.mean(cosine)),
        "bfloat16_cosine_min": float(cosine.min()),
        "plain_loop_relative": worst,
    }


def write_slide(path: Path, downsamples: Sequence[int]) -> None:
    """An Aperio slide whose tissue repeats one block, so that each tile is compressed once only."""
    import tifffile

    glass = 243 + np.random.default_rng(0).normal(0, 1.2, (BLOCK, BLOCK, 1)) + np.array([0, -1, -2])
    blocks = glass.astype(np.uint8), tissue_block()
    layout = np.zeros((SIDE // BLOCK, SIDE // BLOCK), int)
    layout[1:6, 1:4] = layout[2:6, 4:6] = 1
    with tifffile.TiffWriter(path) as tiff:
        for factor in downsamples:
            side = SIDE // factor
            about = f"{side}x{side} [0,0 {SIDE}x{SIDE}] ({TILE}x{TILE}) JPEG/RGB Q=85|AppMag = 40|MPP = 0.25"
            tiff.write(
                tiles(blocks, layout, factor),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                description=f"Aperio Image Library v11.2.1\r\n{about}",
                metadata=None,
                subfiletype=int(factor > 1),
            )


def tiles(blocks: Sequence[np.ndarray], layout: np.ndarray, factor: int) -> Iterator[bytes]:
    """Compressed tiles of one level, row by row."""
    encoded = [compressed(block, factor) for block in blocks]
    n = len(encoded[0])
    for row in range(SIDE // factor // TILE):
        for column in range(SIDE // factor // TILE):
            yield encoded[layout[row // n, column // n]][row % n][column % n]


def compressed(block: np.ndarray, factor: int) -> list[list[bytes]]:
    import imagecodecs

    small = cv2.resize(block, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    starts = range(0, len(small), TILE)
    options: dict[str, Any] = {"level": 85, "colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "420"}
    return [
        [imagecodecs.jpeg8_encode(np.ascontiguousarray(small[y : y + TILE, x : x + TILE]), **options) for x in starts]
        for y in starts
    ]


def tissue_block() -> np.ndarray:
    """Real H&E where it is at hand (the part that is full of tissue), mirrored to repeat without seams."""
    half = BLOCK // 2
    if REAL.exists():
        from mirrorflow.slides.reader import open_slide

        with open_slide(REAL) as slide:
            part = slide.read(0, 640, 1600, 1024, 1024)
        part = np.vstack([np.hstack([part, part[:, ::-1]]), np.hstack([part[::-1], part[::-1, ::-1]])])
    else:
        rng = np.random.default_rng(1)
        spots = cv2.GaussianBlur(rng.normal(0, 1, (half, half)), (0, 0), 4) * 8
        grain = rng.normal(0, 6, (half, half, 3))
        part = np.clip(np.array([190, 115, 170]) + 45 * np.tanh(spots)[..., None] + grain, 0, 255).astype(np.uint8)
    return np.vstack([np.hstack([part, part[:, ::-1]]), np.hstack([part[::-1], part[::-1, ::-1]])])


CHILDREN = {"segment": segment, "extract": extract, "bare": bare, "agree": agree}

if __name__ == "__main__":
    main()
