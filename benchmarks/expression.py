"""A matrix of Toil's size to the store's parquet: time and memory.

    python benchmarks/expression.py [--quick] [--keep FOLDER]

Writes a gzipped TSV as Xena's Toil hub has it (198,619 transcripts x 10,535 samples, log2(FPKM + 0.001) with four
decimals; a few dozen distinct rows, repeated under ids of their own, so that it is made in a minute) and converts
it in fresh processes: for a cohort of 1,092 patients (a job a cohort reads the matrix once) and for all patients of
the matrix. --quick: a tenth of the transcripts. Figures come last, as name=value.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mirrorflow.steps.expression.convert_expression import convert_expression

TRANSCRIPTS, SAMPLES, DISTINCT_ROWS = 198_619, 10_535, 48
NORMAL, UNSEEN = 0.07, 0.35
"""Shares of samples that are normal tissue, and of values that are log2(0.001)."""
COHORT = 1092
"""Patients of TCGA-BRCA with a primary tumour: the largest cohort."""
SETTINGS = {"orientation": "genes_by_samples", "sample_ids": "tcga"}
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def write_matrix(path: Path, transcripts: int) -> None:
    """One gzip member, as a real file is: rows are compressed once and joined as raw deflate blocks."""
    rng = np.random.default_rng(0)
    rows = [_row(rng) for _ in range(DISTINCT_ROWS)]
    blocks = [_deflated(row) for row in rows]
    header = "sample\t" + "\t".join(sample_names()) + "\n"
    checksum, length = zlib.crc32(header.encode()), len(header)
    with path.open("wb") as stream:
        stream.write(GZIP_HEADER + _deflated(header.encode()))
        for number in range(transcripts):
            name = f"ENST{number:011d}.1\t".encode()
            stream.write(_stored(name) + blocks[number % DISTINCT_ROWS])
            row = rows[number % DISTINCT_ROWS]
            checksum, length = zlib.crc32(row, zlib.crc32(name, checksum)), length + len(name) + len(row)
        stream.write(zlib.compressobj(wbits=-15).flush())
        stream.write(checksum.to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little"))


def _row(rng: np.random.Generator) -> bytes:
    values = np.where(rng.random(SAMPLES) < UNSEEN, -9.9658, rng.normal(0, 4, SAMPLES))
    return ("\t".join(f"{value:.4f}" for value in values) + "\n").encode()


def _deflated(data: bytes) -> bytes:
    machine = zlib.compressobj(6, wbits=-15)
    return machine.compress(data) + machine.flush(zlib.Z_FULL_FLUSH)


def _stored(data: bytes) -> bytes:
    """A deflate block that is not compressed."""
    return b"\x00" + len(data).to_bytes(2, "little") + (len(data) ^ 0xFFFF).to_bytes(2, "little") + data


def sample_names() -> list[str]:
    """Barcodes in an order in which cohorts are mixed, as in the hub's file."""
    types = np.where(np.random.default_rng(1).random(SAMPLES) < NORMAL, "11", "01")
    order = np.random.default_rng(2).permutation(SAMPLES)
    return [
        f"TCGA-AA-{number:04d}-{types[number]}" if number < 10_000 else f"TCGA-AB-{number - 10_000:04d}-01"
        for number in order
    ]


def patients() -> list[str]:
    """Patients with a primary tumour."""
    return sorted(name[:12] for name in sample_names() if name.endswith("-01"))


def convert(matrix: str, destination: str, count: str) -> dict[str, Any]:
    """One conversion, in a process of its own, for ``count`` patients ("all" for all units)."""
    wanted = None if count == "all" else patients()[: int(count)]
    started = time.perf_counter()
    convert_expression(Path(matrix), Path(destination), SETTINGS, patients=wanted)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": round(seconds, 1), "peak_gb": round(peak, 2)}


def measure(folder: Path, transcripts: int) -> dict[str, Any]:
    matrix = folder / "tcga_RSEM_isoform_fpkm.gz"
    started = time.perf_counter()
    if not matrix.exists():
        write_matrix(matrix, transcripts)
    print(f"{matrix}: {matrix.stat().st_size / 1e9:.2f} GB, made in {time.perf_counter() - started:.0f} s", flush=True)
    figures: dict[str, Any] = {"convert_rows": transcripts, "convert_samples": SAMPLES}
    figures["convert_matrix_gb"] = round(matrix.stat().st_size / 1e9, 2)
    for count, prefix in ((str(COHORT), "convert"), ("all", "convert_everyone")):
        destination = folder / f"{prefix}.parquet"
        destination.unlink(missing_ok=True)
        command = [sys.executable, __file__, "--child", str(matrix), str(destination), count]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(child.stdout.splitlines()[-1])
        print(f"{count} patients: {result}", flush=True)
        figures |= {f"{prefix}_{name}": value for name, value in result.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the transcripts")
    parser.add_argument("--keep", type=Path, help="folder for the matrix, kept and found again")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(convert(*arguments.child)))
        return
    transcripts = TRANSCRIPTS // 10 if arguments.quick else TRANSCRIPTS
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        figures = measure(arguments.keep, transcripts)
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(Path(folder), transcripts)
    for name, value in figures.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
