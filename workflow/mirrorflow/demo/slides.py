"""Whole slides: which there are, and how each looks at the resolution it is drawn at (about 20x)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd

from mirrorflow.demo.settings import generator
from mirrorflow.demo.tissue import Image, Mask, Stain, draw_planted, draw_stain, morphology
from mirrorflow.units import Microns, MicronsPerPixel

Kind = Literal["good", "corrupt", "empty"]

TISSUE_FRACTION = 0.15
"""Share of the slide's area under tissue."""

WITHIN_PATIENT_SD = 0.25
"""How much two slides of a patient differ in a factor, in standard deviations."""

MPP_OF_SCANS: dict[int, tuple[float, ...]] = {
    20: (0.5, 0.5, 0.4990, 0.5015, 0.4942),
    40: (0.25, 0.25, 0.2527, 0.2520, 0.2485),
}
"""Resolutions that TCGA's scanners report, by objective; one is drawn for each slide."""

PEN_COLOURS = {"blue": (30, 60, 190), "green": (20, 140, 70), "black": (35, 35, 40)}


@dataclass(frozen=True)
class SlidePlan:
    """One slide to be made: whose it is, how it was scanned, what is wrong with it."""

    slide_id: str
    patient: str
    site: str
    shared: float
    slide_only: float
    objective: int
    mpp: MicronsPerPixel
    pen: str
    kind: Kind


def plan_slides(patients: pd.DataFrame, settings: Mapping[str, Any]) -> list[SlidePlan]:
    """Slides of the patients with ``has_slides`` (frame of :func:`factors.draw_patients`), in order.

    Corrupt slides are the second ones of patients who keep a good first one; empty slides are the only
    ones of their patients, who therefore drop out.
    """
    rng = generator(settings["seed"], "slides")
    plans = []
    for row in patients[patients["has_slides"]].to_dict("records"):
        second = rng.random() < settings["two_slides_fraction"]
        for number in range(1, 3 if second else 2):
            objective = 40 if rng.random() < settings["share_40x"] else 20
            shared, slide_only = rng.normal((row["shared"], row["slide_only"]), WITHIN_PATIENT_SD)
            mpp = MicronsPerPixel(float(rng.choice(MPP_OF_SCANS[objective])))
            pen = str(rng.choice(list(PEN_COLOURS))) if rng.random() < settings["pen_fraction"] else ""
            slide_id = f"{row['patient']}-01Z-00-DX{number}"
            factors = float(shared), float(slide_only)
            plans.append(SlidePlan(slide_id, row["patient"], row["site"], *factors, objective, mpp, pen, "good"))
    return _with_faults(plans, settings["corrupt"], settings["empty"])


def _with_faults(plans: list[SlidePlan], corrupt: int, empty: int) -> list[SlidePlan]:
    """Make the last second slides corrupt, and the last single slides empty."""
    of_patient = pd.Series([plan.patient for plan in plans]).value_counts()
    second = [plan.slide_id for plan in plans if plan.slide_id.endswith("DX2")]
    single = [plan.slide_id for plan in plans if of_patient[plan.patient] == 1]
    kinds: dict[str, Kind] = dict.fromkeys(second[len(second) - corrupt :] if corrupt else [], "corrupt")
    kinds |= dict.fromkeys(single[len(single) - empty :] if empty else [], "empty")
    return [replace(plan, kind=kinds.get(plan.slide_id, "good")) for plan in plans]


def draw_slide(plan: SlidePlan, width_um: Microns, height_um: Microns, seed: int) -> Image:
    """Draw a slide in full: RGB [height, width, 3] at its level 0.

    A 40x scan is drawn at 20x, enlarged and given noise of its own. The stain depends on the site alone,
    the rest on the slide's id, so slides can be made in any order.
    """
    rng = generator(seed, "slide", plan.slide_id)
    canvas = _drawn(plan, width_um, height_um, seed, rng).canvas
    if plan.objective == 40:
        height, width = (round(height_um / plan.mpp), round(width_um / plan.mpp))
        canvas = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return _with_noise(canvas, rng)


def planted_in(plan: SlidePlan, width_um: Microns, height_um: Microns, seed: int) -> tuple[Mask, Mask]:
    """Where a slide has tissue, and where nests of cells: masks [height, width] at 20x, the resolution it is drawn at.

    Nests are what the patient's factors change (:func:`~mirrorflow.demo.tissue.morphology`).
    """
    drawn = _drawn(plan, width_um, height_um, seed, generator(seed, "slide", plan.slide_id))
    return drawn.tissue, drawn.nests


class _Drawn(NamedTuple):
    """A slide at 20x before the scanner: RGB, where tissue is, where nests are."""

    canvas: Image
    tissue: Mask
    nests: Mask


def _drawn(plan: SlidePlan, width_um: Microns, height_um: Microns, seed: int, rng: np.random.Generator) -> _Drawn:
    mpp = MicronsPerPixel(plan.mpp * plan.objective / 20)
    size = (round(height_um / mpp), round(width_um / mpp))
    stain = draw_stain(generator(seed, "stain", plan.site))
    drawn = _Drawn(_glass(size, stain, rng), np.zeros(size, bool), np.zeros(size, bool))
    if plan.kind == "empty":
        _dust(drawn.canvas, rng)
    else:
        _place_tissue(drawn, plan, stain, mpp, rng)
    return drawn


def _glass(size: tuple[int, int], stain: Stain, rng: np.random.Generator) -> Image:
    """Empty glass: near white, a little brighter on one side."""
    height, width = size
    slope = rng.normal(0, 0.8, 2)
    shade = np.linspace(-1, 1, height)[:, None] * slope[0] + np.linspace(-1, 1, width) * slope[1]
    return np.stack([(stain.glass[c] + shade).astype(np.uint8) for c in range(3)], axis=-1)


def _with_noise(image: Image, rng: np.random.Generator) -> Image:
    """Take off the sensor's noise, one random block repeated over the slide, strip by strip to save memory."""
    block = rng.normal(2, 1.6, (509, 503)).clip(0, 12).astype(np.uint8)
    row = np.tile(block, (1, image.shape[1] // 503 + 1))[:, : image.shape[1]]
    noise = np.repeat(row[..., None], 3, axis=2)
    for top in range(0, image.shape[0], 509):
        strip = image[top : top + 509]
        strip[:] = cv2.subtract(strip, noise[: len(strip)])
    return image


def _dust(canvas: Image, rng: np.random.Generator) -> None:
    """A few grey specks, each of some micrometres."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(6, 14)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        grey = int(rng.integers(90, 190))
        cv2.circle(canvas, centre, int(rng.integers(2, 7)), (grey, grey, grey), -1, cv2.LINE_AA)


def _place_tissue(drawn: _Drawn, plan: SlidePlan, stain: Stain, mpp: MicronsPerPixel, rng: np.random.Generator) -> None:
    """Put two or three pieces beside each other, in cells of equal width, and the pen marks."""
    canvas = drawn.canvas
    height, width = canvas.shape[:2]
    pieces = 3 if width > 1.3 * height else 2
    share = rng.dirichlet(np.full(pieces, 12.0))
    cell = width // pieces
    pen_at = int(rng.integers(pieces)) if plan.pen else -1
    for index in range(pieces):
        radius_um = Microns(mpp * float(np.sqrt(TISSUE_FRACTION * height * width * share[index] / np.pi)))
        shape = morphology(plan.shared, plan.slide_only)
        piece = draw_planted(radius_um, shape, stain, mpp, rng)
        image, mask = piece.image[: height - 8, : cell - 8], piece.mask[: height - 8, : cell - 8]
        x = index * cell + int(rng.integers(4, cell - mask.shape[1]))
        y = int(rng.integers(4, height - mask.shape[0]))
        place = slice(y, y + mask.shape[0]), slice(x, x + mask.shape[1])
        _blend(canvas[place], image, mask)
        drawn.tissue[place] |= mask
        drawn.nests[place] |= piece.nests[: height - 8, : cell - 8]
        if index == pen_at:
            _pen(canvas, (x, y, mask.shape[1], mask.shape[0]), PEN_COLOURS[plan.pen], mpp, rng)


def _blend(target: Image, image: Image, mask: Mask) -> None:
    """Lay ``image`` over ``target`` where ``mask`` is set, with an edge as soft as a scanner's."""
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)[..., None]
    target[:] = (target * (1 - weight) + image * weight).astype(np.uint8)


def _pen(
    canvas: Image,
    box: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    mpp: float,
    rng: np.random.Generator,
) -> None:
    """A felt-tip arc around a piece of tissue: broad, a little transparent, as pathologists mark slides."""
    x, y, width, height = box
    start = rng.uniform(0, 2 * np.pi)
    angle = start + np.linspace(0, rng.uniform(1.5, 3.0), 60)
    radius = 1.12 + 0.05 * np.sin(angle * 3 + start)
    points = np.stack([np.cos(angle) * width, np.sin(angle) * height], axis=1) * radius[:, None] / 2
    points += (x + width / 2, y + height / 2)
    ink = canvas.copy()
    thickness = round(rng.uniform(22, 38) / mpp)
    cv2.polylines(ink, [points.round().astype(np.int32)], isClosed=False, color=colour, thickness=thickness)
    cv2.addWeighted(ink, 0.88, canvas, 0.12, 0, dst=canvas)
