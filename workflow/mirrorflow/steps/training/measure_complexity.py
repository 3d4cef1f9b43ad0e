"""Rule measure_complexity: what every network costs on this machine, each in a process of its own."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mirrorflow.config.resources import RESOURCES
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.processes import run_alone
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.complexity import complexity_table, shown
from mirrorflow.tables.results import published_key
from mirrorflow.training.complexity import SUBJECTS, Dimensions, count, measure, stages_of
from mirrorflow.training.devices import kind_of


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """The config's section ``complexity``."""

    settings: Mapping[str, Any]


def run(inputs: None, outputs: Outputs, params: Params, job: Job) -> None:
    """Measure every network."""
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    measure_complexity(published, names, outputs.csv.with_suffix(""), params.settings, threads=job.threads)


def measure_complexity(
    published: Path,
    names: Path,
    stem: Path,
    settings: Mapping[str, Any],
    *,
    threads: int,
    device: str = "auto",
    subjects: Sequence[str] = tuple(SUBJECTS),
    sizes: Dimensions | None = None,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``.

    ``settings``: batch_size (None: 16 on a GPU, 2 on a CPU), steps, precision.
    """
    sizes, where = sizes or Dimensions(), kind_of(device) if device == "auto" else device
    on_gpu = kind_of(where) == "cuda"
    batch, name = settings["batch_size"] or (16 if on_gpu else 2), machine(where, on_gpu=on_gpu)
    pairs = [(subject, stage) for subject in subjects for stage in stages_of(subject)]
    progress = Progress("complexity", len(pairs), "networks")
    how = {"batch": batch, "steps": settings["steps"], "precision": settings["precision"], "device": where}
    rows = []
    for subject, stage in pairs:
        cost = count(subject, stage, sizes) | _alone(subject, stage, sizes, **how, threads=threads)
        rows.append({"method": subject, "stage": stage, **cost, **how, "threads": threads, "machine": name})
        progress.step(note=f"{subject}, {stage}: {cost['samples_per_second']:.2f} samples/s")
    table = complexity_table(rows, read_numbers(published, ["mean", "sd"]))
    titles = published_key(read_text_sheet(names), "method", "title")
    write_table(stem, table, caption(rows[0], sizes), shown(table, titles))


def machine(device: str, *, on_gpu: bool) -> str:
    """Name of what computes; a process of its own asks the GPU, which in exclusive mode serves one at a time."""
    if on_gpu:
        return run_alone(Call(torch.cuda.get_device_name, (device,), {}, "the GPU's name"))
    return f"{platform.machine()} CPU"


def caption(row: Mapping[str, Any], sizes: Dimensions) -> str:
    """What the table's numbers are."""
    return (
        f"Cost of each network: patch features {sizes.patch_dim}, {sizes.gene_count} genes, width {sizes.width}, "
        f"{sizes.tokens} patches a slide; measured on {row['machine']} ({row['threads']} threads, batch {row['batch']}"
        f", precision {row['precision']}, best of {row['steps']}). Operations count 2 a multiply-add. pretrain: "
        "optimisation steps; downstream: encoders and a linear head, samples/s of inference, memory of a step in which "
        "all is trained, seconds of an epoch of 694 patients (four fifths of TTA's BRCA) by such steps, the mean of "
        "those that differ. A step has the whole objective of a method: CLAM's instance loss, TTA's pseudo-labels, "
        "contrast and views (of 4 patients of a batch, so of a larger share of the patients in small batches). "
        "Transport is measured, its operations are not counted; what is fitted beforehand is neither. On a CPU memory "
        "is the whole process, libraries included. In brackets: MIRROR, section V-D, on an RTX 3090 at batch 16; "
        "suspect: see the columns of that name in the CSV file."
    )


def _alone(subject: str, stage: str, sizes: Dimensions, **how: Any) -> dict[str, float]:
    """In a fresh process, whose peak of memory is the network's own."""
    return run_alone(Call(measure, (subject, stage, sizes), how, f"{subject}, {stage}"))
