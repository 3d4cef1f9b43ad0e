"""Rule extract_features: from patch coordinates to features, a shard in a process; batches go across slides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from mirrorflow.config.fields import defaults_of
from mirrorflow.config.slide_settings import Features
from mirrorflow.errors import ConfigError
from mirrorflow.plan.records import write_plan
from mirrorflow.plan.store_paths import FeatureStatus, PatchStatus
from mirrorflow.runtime.files import clear_leftovers
from mirrorflow.runtime.job import Job
from mirrorflow.slides.encoder_settings import EncoderSettings, encoder_from
from mirrorflow.steps.slides.crash_guard import CrashGuard
from mirrorflow.steps.slides.encode_slides import Run
from mirrorflow.steps.slides.feature_plan import Plan, Row, plan_slide
from mirrorflow.steps.slides.gdc_files import restorer
from mirrorflow.steps.slides.read_alone import patches_task
from mirrorflow.steps.slides.shards import rows_of_shard
from mirrorflow.store.ledger import FEATURE_COLUMNS, write_rows
from mirrorflow.store.slide_sheet import SlideRow

DEFAULTS = {key: defaults_of(Features)[key] for key in ("batch_size", "max_unreadable")}

CPU_BATCH = 8
"""On a CPU each thread encodes batches of its own, at most so large: activations stay near the cache
(measured on 2 cores, ResNet-50's stage 3: 29 patches/s; one batch of 64 shared by both cores: 18). With 16 on a
thread, ResNet-50 took a twentieth longer, ViT-B a tenth."""

GPU_TIMES, GPU_STREAMS = 4, 2
"""On a GPU batches are so many times as large, and one is pinned and copied while the other is computed."""


@dataclass(frozen=True)
class Inputs:
    """The sheet of slides; ``shards/<shard>.tsv`` of the folder of the patches."""

    sheet: Path
    patches: Path


@dataclass(frozen=True)
class Outputs:
    """``shards/<shard>.tsv`` of the folder that features go to."""

    status: Path


@dataclass(frozen=True)
class Speed:
    """Patches a batch, threads that read ahead: no value depends on them."""

    batch_size: int
    workers: int


@dataclass(frozen=True)
class Params:
    """The sheet's columns by our names; which shard, of how many; the encoder; how much may be unreadable; speed."""

    columns: Mapping[str, str]
    shard: int
    shards: int
    encoder: Mapping[str, Any]
    settings: Mapping[str, Any]
    speed: Speed
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


@dataclass(frozen=True)
class ShardFiles:
    """Where a shard's patches come from (what ``patch_shard`` wrote), its features go to, and its status file."""

    patches: Path
    features: Path
    status: Path


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Encode the slides of the shard."""
    made = FeatureStatus.parse(outputs.status)
    rows = rows_of_shard(inputs.sheet, params.columns, made.cohort, params.shard, params.shards)
    extract_shard(
        rows,
        ShardFiles(PatchStatus.parse(inputs.patches).files, made.files, outputs.status),
        params.encoder,
        {**params.settings, "batch_size": params.speed.batch_size},
        threads=job.threads,
        workers=params.speed.workers,
        restore=restorer(inputs.sheet),
    )
    write_plan(params.planned)


def extract_shard(
    rows: Sequence[SlideRow],
    files: ShardFiles,
    encoder: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    threads: int,
    workers: int = 1,
    device: str = "auto",
    restore: Callable[[Sequence[SlideRow]], None] | None = None,
) -> None:
    """Encode the patches of ``rows`` and write ``<files.features>/<slide_id>.h5`` and ``files.status``.

    ``files.patches`` is what ``patch_shard`` wrote: ``patches/<slide_id>.h5`` with coordinates. ``threads``
    cores compute (without a GPU), ``workers`` threads read ahead; neither, nor ``batch_size``, changes values
    beyond rounding. A patch that cannot be read is left out and counted; a slide that lacks more than
    ``max_unreadable`` of its patches fails. Finished files of an earlier run are kept; without any work no
    network is loaded. ``restore`` gets the slides to be encoded, to fetch files that were deleted.

    Raises InputError or ConfigError where weights are missing, SettingsMismatchError for files of other settings.
    """
    values = _settings(settings)
    spec = encoder_from(encoder)
    clear_leftovers(files.features)
    noted = spec.noted()
    plan = partial(
        plan_slide,
        patches_folder=files.patches / "patches",
        features_folder=files.features,
        encoder=noted,
        max_unreadable=values["max_unreadable"],
    )
    planned = {row.slide_id: plan(row) for row in rows}
    todo = [item for item in planned.values() if isinstance(item, Plan)]
    outcomes = {key: item for key, item in planned.items() if not isinstance(item, Plan)}
    if todo:
        if restore is not None:
            restore([item.row for item in todo])
        crashing = _crashing(todo, files.features)
        todo = [item for item in todo if item.row.slide_id not in crashing]
        outcomes |= crashing
    if todo:
        outcomes |= _extract(todo, spec, values, threads, workers, device)
    write_rows(files.status, FEATURE_COLUMNS, [outcomes[row.slide_id] for row in rows])


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(settings.keys() - DEFAULTS.keys()):
        message = f"features: unknown {', '.join(unknown)}; allowed are {', '.join(DEFAULTS)}"
        raise ConfigError(message)
    return DEFAULTS | dict(settings)


def _crashing(plans: Sequence[Plan], folder: Path) -> dict[str, Row]:
    """Status rows of the slides of which an earlier process died, by slide id."""
    guard, rows = CrashGuard(folder), {}
    for plan in plans:
        if fault := guard.fault(plan.row, patches_task(plan.row.path, plan.patches)):
            plan.features.unlink(missing_ok=True)
            slide_id = plan.row.slide_id
            rows[slide_id] = {"slide_id": slide_id, "status": "failed", "reason": fault, "patches": 0}
    return rows


def _extract(
    plans: Sequence[Plan],
    spec: EncoderSettings,
    values: Mapping[str, Any],
    threads: int,
    workers: int,
    device: str,
) -> dict[str, Row]:
    """Status rows of the slides encoded, by slide id."""
    import torch

    from mirrorflow.slides.encoders import build_encoder
    from mirrorflow.store.weights import encoder_weights
    from mirrorflow.training.devices import check_units, choose_device

    where = choose_device(device)
    check_units(spec.precision, where)
    device = str(where)
    on_cpu = device == "cpu"
    torch.backends.cudnn.benchmark = True  # shapes never change
    cv2.setNumThreads(1)  # parallel over patches, not inside one
    before = torch.get_num_threads()
    # Streams of one thread each do not wait for one another, as the threads of one network would.
    share_cores = partial(torch.set_num_threads, 1 if on_cpu else threads)
    share_cores()
    try:
        encoder = build_encoder(spec, encoder_weights(spec), device)
        run = Run(encoder, spec, float(values["max_unreadable"]), sum(plan.n for plan in plans))
        size = min(int(values["batch_size"]), CPU_BATCH) if on_cpu else GPU_TIMES * int(values["batch_size"])
        streams = max(1, threads) if on_cpu else GPU_STREAMS
        readers = workers if on_cpu else max(workers, threads - 1)
        return run.slides(plans, size, share_cores, readers=max(1, readers), streams=streams)
    finally:
        torch.set_num_threads(before)
