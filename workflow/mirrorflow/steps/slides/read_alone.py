"""``python -m mirrorflow.steps.slides.read_alone``: reads a suspect slide where a crash hurts nobody else."""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.slides.reader import best_level, open_slide
from mirrorflow.slides.scale import find_scale
from mirrorflow.slides.sources import RegionError
from mirrorflow.slides.view import read_view
from mirrorflow.store.patches import read_patches

SMALLEST = 64
"""Pixels a side to which a patch is brought: what matters is that it was decoded."""


def view_task(path: Path | None, sheet_mpp: float | None, view_mpp: float) -> dict[str, Any]:
    """Read what segmentation reads: the slide's low-resolution view."""
    return {"path": str(path), "mpp": sheet_mpp, "view_mpp": view_mpp}


def patches_task(path: Path | None, patches: Path) -> dict[str, Any]:
    """Read what extraction reads: the patches of the file ``patches``."""
    return {"path": str(path), "patches": str(patches)}


def main(task: Mapping[str, Any]) -> None:
    """Do a task of :func:`view_task` or :func:`patches_task`.

    Errors are left to the process that reads the slide in earnest: here only survival counts.
    """
    with contextlib.suppress(InputError, RegionError):
        if "patches" in task:
            _read_patches(task)
        else:
            _read_view(task)


def _read_view(task: Mapping[str, Any]) -> None:
    with open_slide(task["path"]) as slide:
        read_view(slide, max(1.0, task["view_mpp"] / find_scale(slide.properties, task["mpp"]).mpp))


def _read_patches(task: Mapping[str, Any]) -> None:
    patches = read_patches(task["patches"])
    size = patches.size_level0
    with open_slide(task["path"]) as slide:
        level = best_level(slide.levels, size / float(patches.attributes.get("patch_size", size)))
        for x, y in patches.coords:
            with contextlib.suppress(RegionError):
                slide.read_patch(int(x), int(y), size, level, SMALLEST)


if __name__ == "__main__":
    main(json.load(sys.stdin))
