"""What ``mirrorflow check`` costs: 10,000 feature files, and a matrix of 20,000 genes x 10,000 samples, read whole.

    PYTHONPATH=workflow python benchmarks/check.py [--files 10000] [--genes 20000] [--samples 10000] [--folder DIR]

The files are made first (a few GB of disk, some minutes) and kept where a folder is named. Each part runs in a process
of its own; its peak memory is that of the process and of the largest of its forks, CPU seconds are of all. Prints
``name=value`` lines last.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, WIDTH = 300, 64
"""Patches of a made file and values of a patch: what is read of a file does not grow with either."""
PARTS = ("features", "parquet", "tsv")


def make_features(folder: Path, files: int) -> None:
    folder.mkdir(exist_ok=True)
    values = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    for number in range(files):
        path = folder / f"s{number}.h5"
        if not path.exists():
            with h5py.File(path, "w") as file:
                file.create_dataset("features", data=values, chunks=(256, WIDTH))
                file["coords"] = np.zeros((ROWS, 2), np.int64)


def block_of(start: int, genes: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(start)
    return np.log2(rng.gamma(1.0, 20.0, (genes, samples)) + 1).astype(np.float32)


def make_parquet(path: Path, genes: int, samples: int) -> None:
    names = [f"P{number}" for number in range(samples)]
    schema = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in names)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, genes, 1000):
            block = block_of(start, min(1000, genes - start), samples)
            ids = pa.array([f"G{start + row}" for row in range(len(block))])
            writer.write_table(pa.table([ids, *(np.ascontiguousarray(column) for column in block.T)], schema=schema))


def make_tsv(path: Path, genes: int, samples: int) -> None:
    with gzip.open(path, "wt", compresslevel=1) as stream:
        stream.write("id\t" + "\t".join(f"P{number}" for number in range(samples)) + "\n")
        for start in range(0, genes, 500):
            block = block_of(start, min(500, genes - start), samples)
            for row, values in enumerate(block):
                stream.write(f"G{start + row}\t" + "\t".join(map("{:.4f}".format, values.tolist())) + "\n")


def make(folder: Path, files: int, genes: int, samples: int) -> None:
    make_features(folder / "features", files)
    for name, maker in (("m.parquet", make_parquet), ("m.tsv.gz", make_tsv)):
        if not (folder / name).exists():
            maker(folder / name, genes, samples)
            sys.stderr.write(f"{name}: {(folder / name).stat().st_size / 1e9:.2f} GB\n")


def measure(part: str, folder: Path, files: int) -> None:
    """One part, in this process; prints JSON."""
    from mirrorflow.commands.checking.expression import matrix_of
    from mirrorflow.commands.checking.features import look_into_files

    before, cpu = time.monotonic(), sum(os.times()[:4])
    if part == "features":
        seen = look_into_files(folder / "features", [f"s{number}" for number in range(files)])
        assert not seen.bad, seen.bad
        count = seen.count
    else:
        name = {"parquet": "m.parquet", "tsv": "m.tsv.gz"}[part]
        source = {"matrix": str(folder / name), "orientation": "genes_by_samples", "sample_ids": "patient"}
        look = matrix_of(source, float("inf"))
        count = look.values.values
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    found = {"s": time.monotonic() - before, "cpu_s": sum(os.times()[:4]) - cpu, "peak_mb": peak, "count": count}
    sys.stdout.write(json.dumps(found) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--part", choices=PARTS, help="measure this part alone, on files that are there")
    asked = parser.parse_args()
    if asked.part:
        measure(asked.part, asked.folder, asked.files)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, asked.files, asked.genes, asked.samples)
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--files", str(asked.files)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            for key, value in json.loads(done.stdout).items():
                sys.stdout.write(f"{part}_{key}={value:.1f}\n")


if __name__ == "__main__":
    main()
