"""Simulate a whole cohort into a folder: slides, RNA, clinical tables, census and the planted truth."""

import gzip
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import openslide
import pandas as pd

from mirrorflow.config import versions
from mirrorflow.demo.census import draw_census
from mirrorflow.demo.clinical import clinical_matrix, draw_demographics, draw_gaps, survival_table
from mirrorflow.demo.describe import describe, list_faults, note_faults
from mirrorflow.demo.factors import draw_patients
from mirrorflow.demo.rna import draw_expression, draw_samples, draw_transcripts
from mirrorflow.demo.settings import SIMULATION_DEFAULTS, complete_settings
from mirrorflow.demo.slides import SlidePlan, draw_slide, plan_slides
from mirrorflow.demo.svs import truncate, write_svs
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.files import clear_leftovers, written_whole
from mirrorflow.runtime.forks import Cores, run_each
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.digest import canonical, digest, require_same_settings

__all__ = ["SIMULATION_DEFAULTS", "simulate_cohort"]

logger = logging.getLogger("mirrorflow.demo")

PROBE_MAP_COLUMNS = ["id", "gene", "chrom", "chromStart", "chromEnd", "strand"]


def simulate_cohort(destination: Path, settings: Mapping[str, Any], *, workers: int = 1) -> None:
    """Write a simulated cohort to ``destination``; README.md there says what is planted in it.

    ``settings`` override SIMULATION_DEFAULTS. The same settings give the same bytes, whatever the number
    of ``workers`` (processes). Slides that an earlier run finished are kept, and files that would not change
    are not touched. Raises ConfigError for a wrong setting, and SettingsMismatchError if the folder holds a
    cohort made with other settings.
    """
    complete = complete_settings(settings)
    made_with = complete | {"version": versions.SIMULATION}
    _claim(Path(destination), made_with)
    patients = draw_patients(complete)
    plans = plan_slides(patients, complete)
    _write_tables(Path(destination), complete, patients, plans)
    _write_slides(Path(destination) / "slides", plans, complete, digest(made_with), workers)


def _claim(folder: Path, made_with: Mapping[str, Any]) -> None:
    """Write down the settings in an empty folder; in one with settings, require that they are the same."""
    path = folder / "simulation.json"
    if path.exists():
        require_same_settings(str(folder), path.read_text(encoding="utf-8").strip(), made_with)
    _write(path, canonical(made_with) + "\n")


def _write_tables(folder: Path, settings: Mapping[str, Any], patients: pd.DataFrame, plans: list[SlidePlan]) -> None:
    """Everything but the slides."""
    seed = settings["seed"]
    gaps = draw_gaps(patients, settings, spare=[plan.patient for plan in plans if plan.kind != "good"])
    transcripts = draw_transcripts(settings)
    samples = draw_samples(patients, gaps.rna, seed)
    people = draw_demographics(patients, gaps, seed)
    _write(folder / "slides.tsv", _tsv(_slide_sheet(plans)))
    expression = draw_expression(transcripts, samples, patients, seed)
    _write(folder / "rna/isoform_fpkm.tsv.gz", gzip.compress(_tsv(expression).encode(), 6, mtime=0))
    _write(folder / "rna/transcript.probemap", _tsv(transcripts[PROBE_MAP_COLUMNS]))
    survival = survival_table(patients, samples, people, gaps, settings)
    _write(folder / "clinical/survival.tsv", _tsv(survival))
    _write(folder / "clinical/clinical_matrix.tsv", _tsv(clinical_matrix(patients, samples, people)))
    _write(folder / "census.tsv", _tsv(draw_census(transcripts, seed)))
    truth = patients.assign(note=note_faults(patients, plans, gaps))
    _write(folder / "truth.tsv", _tsv(truth))
    _write(folder / "truth_transcripts.tsv", _tsv(transcripts[["id", "gene", "module", "loading"]]))
    faults = list_faults(plans, gaps, samples)
    _write(folder / "README.md", describe(settings, patients, plans, transcripts, faults))


def _slide_sheet(plans: list[SlidePlan]) -> pd.DataFrame:
    """The sample sheet; paths are relative to its folder, mpp is read from the slides."""
    rows = [(plan.slide_id, plan.patient, f"slides/{plan.slide_id}.svs", "") for plan in plans]
    return pd.DataFrame(rows, columns=["slide_id", "patient", "path", "mpp"])


def _write_slides(
    folder: Path, plans: list[SlidePlan], settings: Mapping[str, Any], made_with: str, workers: int
) -> None:
    """Make the slides that are missing, dealt out to ``workers`` processes: drawing is bound by Python."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    cv2.setNumThreads(1)  # parallel over slides, not inside one; and a fork has no threads of its parent
    missing = [plan for plan in plans if not _is_finished(folder, plan, made_with)]
    if len(missing) < len(plans):
        logger.info("%d of %d slides kept from an earlier run", len(plans) - len(missing), len(plans))
    dealt = [missing[first::workers] for first in range(min(workers, len(missing)))]
    labels = [f"simulate slides, part {part + 1} of {len(dealt)}" for part in range(len(dealt))]
    calls = [
        Call(_write_some, (folder, some, settings, made_with, label), {}, label)
        for some, label in zip(dealt, labels, strict=True)
    ]
    run_each(calls, Cores(max(1, len(dealt))), logger.debug)


def _write_some(folder: Path, plans: list[SlidePlan], settings: Mapping[str, Any], made_with: str, label: str) -> None:
    progress = Progress(label, len(plans), "slides")
    for plan in plans:
        _write_slide(folder, plan, settings, made_with)
        progress.step(note=plan.slide_id)


def _is_finished(folder: Path, plan: SlidePlan, made_with: str) -> bool:
    """Whether the slide is there, made with these settings; a corrupt one need only be there."""
    path = folder / f"{plan.slide_id}.svs"
    if plan.kind == "corrupt":
        return path.exists()
    try:
        with openslide.OpenSlide(path) as slide:
            return slide.properties.get("aperio.Settings") == made_with
    except (OSError, openslide.OpenSlideError):
        return False


def _write_slide(folder: Path, plan: SlidePlan, settings: Mapping[str, Any], made_with: str) -> None:
    image = draw_slide(plan, settings["slide_width_um"], settings["slide_height_um"], settings["seed"])
    with written_whole(folder / f"{plan.slide_id}.svs") as temporary:
        write_svs(temporary, image, mpp=plan.mpp, objective=plan.objective, name=plan.slide_id, digest=made_with)
        if plan.kind == "corrupt":
            truncate(temporary)


def _tsv(frame: pd.DataFrame) -> str:
    return frame.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n")


def _write(path: Path, content: str | bytes) -> None:
    """Write ``content`` whole, unless the file holds just that: an unchanged file keeps its date."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return
    with written_whole(path) as temporary:
        temporary.write_bytes(data)
