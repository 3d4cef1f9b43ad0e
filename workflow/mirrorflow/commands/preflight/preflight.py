"""``mirrorflow preflight``: everything a run will open is opened first; a forecast and what to fix.

The run would fail where a line says STOPS; then the exit status is 1. A slide that would be ledgered as failed, a
patient without a file and the like are listed under "To fix" and do not count, unless ``strict``: the run goes
on without them.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mirrorflow.commands.check import named, read_config
from mirrorflow.commands.checking.files import file_lines, stored_lines
from mirrorflow.commands.preflight.cohorts import Cohort, look_at_cohort, made_here, say
from mirrorflow.commands.preflight.encoders import (
    Speed,
    gpu_line,
    load_encoder,
    made_earlier,
    measure,
    seconds_per_patch,
)
from mirrorflow.commands.preflight.forecast import (
    Load,
    disk_finding,
    download_bytes,
    gb,
    load_of,
    mean_patches,
    results_bytes,
    said_time,
)
from mirrorflow.commands.preflight.slides import Finding
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.steps.slides.drop_slides import finished_in
from mirrorflow.store.ledger import write_rows
from mirrorflow.store.slide_sheet import SlideRow, shard_of

EXTRACT_CORES = 8
"""Threads of rule extract_features."""

COLUMNS = ("stops", "subject", "file", "what")
SHOWN = 40


def preflight(
    configfiles: Sequence[Path],
    *,
    patches_per_second: float | None = None,
    cores: int | None = None,
    strict: bool = False,
    table: Path | None = None,
) -> int:
    """Print what the run would find; returns 1 where it would fail (with ``strict``: where anything is to be fixed).

    ``patches_per_second`` takes the place of a measurement with the configured encoders; ``table`` gets the
    findings as TSV. Raises ConfigError for a config that is not valid.
    """
    config = read_config(configfiles)
    with _progress_shown():
        return _preflight(configfiles, config, patches_per_second, cores, strict=strict, table=table)


def _preflight(
    configfiles: Sequence[Path],
    config: Mapping[str, Any],
    patches_per_second: float | None,
    cores: int | None,
    *,
    strict: bool,
    table: Path | None,
) -> int:
    cores = cores or len(os.sched_getaffinity(0))
    say(f"GPU: {gpu_line()}")
    cohorts = [look_at_cohort(config, name, entry, cores) for name, entry in config["cohorts"].items()]
    findings = [finding for cohort in cohorts for finding in cohort.findings]
    findings += _named_files(config)
    loads, more = _loads(config, cohorts, cores, patches_per_second)
    findings += more + _forecast(config, cohorts, loads)
    if table is not None:
        write_rows(
            table, COLUMNS, [finding._asdict() | {"stops": "yes" if finding.stops else ""} for finding in findings]
        )
    return _conclude(configfiles, findings, strict=strict)


def _named_files(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Files that the config names and that are not there, and what the store holds of other settings.

    Weights of encoders are looked at where the encoders are opened.
    """
    for line in (*file_lines(config), *stored_lines(config)):
        if line.startswith("PROBLEM: ") and not line.startswith("PROBLEM: features.encoders."):
            yield Finding("config", "", line.removeprefix("PROBLEM: "), stops=True)


@contextlib.contextmanager
def _progress_shown() -> Iterator[None]:
    """Progress on the terminal; what libraries grumble about broken files is in the findings already."""
    ours, tifffile = logging.getLogger("mirrorflow"), logging.getLogger("tifffile")
    handler = logging.StreamHandler()
    before = ours.level, tifffile.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    tifffile.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before[0])
        tifffile.setLevel(before[1])


def _loads(
    config: Mapping[str, Any], cohorts: Sequence[Cohort], cores: int, given_rate: float | None
) -> tuple[list[Load], list[Finding]]:
    """What each encoder has to do, and what is wrong with encoders."""
    loads: list[Load] = []
    findings: list[Finding] = []
    for encoder, settings in config["features"]["encoders"].items():
        users = [c for c in cohorts if encoder in made_here(config["cohorts"][c.name])]
        if not users:
            continue
        speed = _speed(config, encoder, users, cores, given_rate)
        if isinstance(speed, Finding):
            findings.append(speed)
            continue
        rate = given_rate or speed.together
        how = "as given" if given_rate else f"measured; the network alone {speed.network:,.1f}"
        say(f"encoder {encoder}: {speed.dim} values a patch, {rate:,.1f} patches/s ({how})")
        for cohort in users:
            load, problems = _load(config, cohort, encoder, settings, speed.dim, rate)
            loads.append(load)
            findings += problems
    return loads, findings


def _speed(
    config: Mapping[str, Any], name: str, users: Sequence[Cohort], cores: int, given_rate: float | None
) -> Speed | Finding:
    settings = config["features"]["encoders"][name]
    encoder = load_encoder(name, settings)
    if isinstance(encoder, Finding):
        return encoder
    if given_rate:
        return Speed(encoder.dim, given_rate, given_rate)
    patch = config["slides"]["presets"][settings["patching"]]
    looks = [look for cohort in users for look in cohort.looks]
    read_s = seconds_per_patch(looks, patch["size_px"], patch["mpp"], encoder.image_size)
    features = config["features"]
    return measure(encoder, features["batch_size"], min(cores, EXTRACT_CORES), features["workers"], read_s)


def _load(
    config: Mapping[str, Any], cohort: Cohort, encoder: str, settings: Mapping[str, Any], dim: int, rate: float
) -> tuple[Load, list[Finding]]:
    preset = settings["patching"]
    folder = Path(config["store"]) / "features" / cohort.name / preset / encoder
    rows = [*cohort.rows, *(SlideRow(slide.slide_id, slide.patient) for slide in cohort.remote)]
    done, findings = made_earlier(folder, rows, encoder_from({"name": encoder, **settings}).noted())
    looks = [look for look in cohort.looks if look.row.slide_id not in done]
    unseen = sum(slide.slide_id not in done for slide in cohort.remote)
    per_slide, assumed = mean_patches(cohort.looks, preset, config["slides"]["presets"][preset])
    if assumed and unseen:
        say(f"{cohort.name}: no slide to look at yet, {per_slide:,.0f} patches a slide are assumed")
    load = load_of((cohort.name, encoder), looks, unseen, preset, settings, per_slide=per_slide, dim=dim, rate=rate)
    return load, findings


def _forecast(config: Mapping[str, Any], cohorts: Sequence[Cohort], loads: Sequence[Load]) -> list[Finding]:
    say("Forecast (features still to be made; segmentation takes another 1 to 3 s a slide and core):")
    for load in loads:
        hours = "" if load.hours is None else f", {said_time(load.hours)}"
        size = f"{load.patches:,} patches of {load.slides} slides, {gb(load.bytes)}"
        say(f"  {load.cohort}, {load.encoder}: {size}{hours}")
    downloads = sum(_download(config, cohort) for cohort in cohorts)
    needed = sum(load.bytes for load in loads) + downloads + results_bytes(config)
    line, finding = disk_finding(Path(config["store"]), needed)
    known = [load.hours for load in loads if load.hours is not None]
    hours = f", {said_time(sum(known))}" if known else ""
    say(f"  in all: {sum(load.patches for load in loads):,} patches{hours}")
    say(f"  disk: {line}" + (f" (slides from GDC: {gb(downloads)})" if downloads else ""))
    return [finding] if finding else []


def _download(config: Mapping[str, Any], cohort: Cohort) -> int:
    """Bytes of slides from GDC that will lie on the disk, less those of which all is made already."""
    entry = config["cohorts"][cohort.name]
    gdc = entry.get("slides", {}).get("gdc")
    if gdc is None:
        return 0
    features = Path(config["store"]) / "features" / cohort.name
    presets = {encoder: config["features"]["encoders"][encoder]["patching"] for encoder in made_here(entry)}
    finished = finished_in([], [str(features / preset / encoder) for encoder, preset in presets.items()])
    shards = config["slides"]["shards"]
    sizes = dict.fromkeys(range(shards), 0)
    for slide in cohort.remote:
        if finished(slide.slide_id):
            continue
        sizes[shard_of(slide.slide_id, shards)] += slide.size
    return download_bytes(sizes, keep=gdc["keep"], ahead=gdc["ahead"])


def _conclude(configfiles: Sequence[Path], findings: Sequence[Finding], *, strict: bool) -> int:
    stops = [finding for finding in findings if finding.stops]
    fix = [finding for finding in findings if not finding.stops]
    for title, listed in (("STOPS the run", stops), ("To fix (the run goes on without)", fix)):
        if listed:
            say(f"{title}:")
            for line in _listed(listed):
                say(f"  {line}")
    say(f"{named(configfiles)}: {len(stops)} things stop the run, {len(fix)} to fix")
    return int(bool(stops) or (strict and bool(fix)))


def _listed(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings[:SHOWN]:
        where = "" if not finding.file or finding.file in finding.what else f" {finding.file}:"
        yield f"{finding.subject}:{where} {finding.what}"
    if len(findings) > SHOWN:
        yield f"... and {len(findings) - SHOWN} more; --table FILE writes all"
