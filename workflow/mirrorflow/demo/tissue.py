"""H&E-like tissue from a few morphological numbers: stroma, cell nests, nuclei, lumens, stain.

Everything is drawn as optical density of the two stains, in pixels of about 0.5 um, and turned into
colour by Beer-Lambert's law (Ruifrok and Johnston, 2001).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.units import Microns, MicronsPerPixel

Image = NDArray[np.uint8]
Density = NDArray[np.float32]
Mask = NDArray[np.bool_]

_HAEMATOXYLIN = np.array([0.650, 0.704, 0.286])
_EOSIN = np.array([0.12, 0.93, 0.33])
_STAIN_JITTER = 0.02
_STAIN_STRENGTH_SD = 0.06


@dataclass(frozen=True)
class Morphology:
    """What a patient's factors look like under the microscope."""

    nest_fraction: float
    """Part of the tissue that is densely packed with cells."""
    nucleus_spacing_um: Microns
    """Distance of neighbouring nuclei inside the nests."""
    nucleus_radius_um: Microns
    eccentricity: float
    """0 for round nuclei, towards 1 for spindles."""
    cytoplasm_haematoxylin: float
    """Optical density of haematoxylin in the cytoplasm: more makes it bluer."""


def morphology(shared: float, slide_only: float) -> Morphology:
    """How the two factors that slides show become tissue; both enter through tanh, so bounded.

    ``shared`` packs the cells more densely; ``slide_only`` makes nuclei larger and more elongated and
    the cytoplasm bluer.
    """
    dense, atypical = np.tanh(shared / 1.6), np.tanh(slide_only / 1.6)
    return Morphology(
        nest_fraction=0.50 + 0.28 * dense,
        nucleus_spacing_um=Microns(10.5 - 2.0 * dense + 1.0 * atypical),
        nucleus_radius_um=Microns(3.5 + 1.0 * atypical),
        eccentricity=0.55 + 0.30 * atypical,
        cytoplasm_haematoxylin=0.17 + 0.12 * atypical,
    )


@dataclass(frozen=True)
class Stain:
    """A site's staining and scanner: colour vectors of the stains [2, 3], strengths, colour of glass."""

    vectors: NDArray[np.float64]
    strength: tuple[float, float]
    glass: NDArray[np.float64]


def draw_stain(rng: np.random.Generator) -> Stain:
    """A site's own variation of the stains."""
    vectors = np.stack([_HAEMATOXYLIN, _EOSIN]) + rng.normal(0, _STAIN_JITTER, (2, 3))
    vectors = np.maximum(vectors, 0.02)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    strength = np.exp(rng.normal(0, _STAIN_STRENGTH_SD, 2))
    return Stain(vectors, (float(strength[0]), float(strength[1])), rng.uniform(241, 246, 3))


def draw_piece(
    radius_um: Microns, shape: Morphology, stain: Stain, mpp: MicronsPerPixel, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Draw one piece of tissue of about ``radius_um``: RGB [height, width, 3] and its mask [height, width].

    Holes (lumens, tears) are outside the mask. Colours outside the mask mean nothing.
    """
    piece = draw_planted(radius_um, shape, stain, mpp, rng)
    return piece.image, piece.mask


class Piece(NamedTuple):
    """A piece of tissue: RGB [height, width, 3]; where there is tissue, and where of it the cells are packed."""

    image: Image
    mask: Mask
    nests: Mask


def draw_planted(
    radius_um: Microns, shape: Morphology, stain: Stain, mpp: MicronsPerPixel, rng: np.random.Generator
) -> Piece:
    """As :func:`draw_piece`, with the nests that the patient's factors make: what a model can have learned."""
    mask = _outline(radius_um / mpp, rng)
    mask &= ~_holes(mask, mpp, rng)
    nests = _nests(mask.shape, shape.nest_fraction, mpp, rng)
    direction = _smooth_noise(mask.shape, 60 / mpp, rng) * 1.2 + rng.uniform(0, np.pi)
    fibres = _fibres(mask.shape, float(direction.mean()), mpp, rng)
    eosin = np.where(nests, 0.36 + 0.04 * fibres, 0.46 + 0.17 * fibres).astype(np.float32)
    blue = np.where(nests, shape.cytoplasm_haematoxylin, 0.04 + 0.02 * fibres).astype(np.float32)
    nuclei = _nuclei(nests, direction, shape, mpp, rng)
    thickness = np.exp(0.10 * _smooth_noise(mask.shape, 30 / mpp, rng)).astype(np.float32)
    haematoxylin = cv2.GaussianBlur(blue, (0, 0), 1.5 / mpp) * (1 - nuclei) + 1.35 * nuclei
    pink = cv2.GaussianBlur(eosin, (0, 0), 0.4 / mpp)
    return Piece(to_rgb(haematoxylin * thickness, pink * thickness, stain), mask, nests & mask)


def to_rgb(haematoxylin: NDArray[Any], eosin: NDArray[Any], stain: Stain) -> Image:
    """Colour of optical densities [height, width] (natural logarithm) under ``stain``: RGB uint8."""
    strong = stain.vectors * np.array(stain.strength)[:, None]
    channels = [stain.glass[c] * np.exp(-(haematoxylin * strong[0, c] + eosin * strong[1, c])) for c in range(3)]
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


def _outline(radius_px: float, rng: np.random.Generator) -> Mask:
    """A filled, irregular outline: a circle with harmonics that fall off with their order."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    order = np.arange(2, 24)
    amplitude = rng.normal(0, 0.34, len(order)) / order**1.4
    phase = rng.uniform(0, 2 * np.pi, len(order))
    ripple = amplitude @ np.cos(order[:, None] * angle + phase[:, None])
    radius = radius_px * (1 + ripple).clip(0.5, 1.6)
    points = np.stack([radius * np.cos(angle) * 1.15, radius * np.sin(angle) * 0.87], axis=1)
    points -= points.min(axis=0)
    width, height = (np.ceil(points.max(axis=0)) + 1).astype(int)
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [points.round().astype(np.int32)], 1)
    return canvas.astype(bool)


def _holes(mask: Mask, mpp: float, rng: np.random.Generator) -> Mask:
    """One to four lumens of 10 to 45 um radius, somewhere inside ``mask``."""
    canvas = np.zeros(mask.shape, np.uint8)
    inside = np.argwhere(cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8), iterations=5))
    if len(inside) == 0:
        return canvas.astype(bool)
    for _ in range(rng.integers(1, 5)):
        y, x = inside[rng.integers(len(inside))]
        long = rng.uniform(10, 45) / mpp
        axes = (int(long), int(long * rng.uniform(0.4, 0.9)))
        cv2.ellipse(canvas, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(bool)


def _smooth_noise(size: tuple[int, ...], scale_px: float, rng: np.random.Generator) -> Density:
    """Smooth random field of unit variance and the given correlation length, drawn coarsely, enlarged."""
    height, width = size
    step = max(1.0, scale_px / 3)
    coarse = (int(height / step) + 8, int(width / step) + 8)
    field = cv2.GaussianBlur(rng.standard_normal(coarse, dtype=np.float32), (0, 0), scale_px / step / 2)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)


def _nests(size: tuple[int, ...], fraction: float, mpp: float, rng: np.random.Generator) -> Mask:
    """Islands of densely packed cells that cover ``fraction`` of the field."""
    field = _smooth_noise(size, 22 / mpp, rng)
    return field > np.quantile(field, 1 - fraction)


def _fibres(size: tuple[int, ...], angle: float, mpp: float, rng: np.random.Generator) -> Density:
    """Wavy fibres along ``angle``: noise stretched along one axis, bent and turned."""
    height, width = size
    diagonal = int(np.hypot(height, width)) + 2
    grain = rng.standard_normal((diagonal, diagonal), dtype=np.float32)
    noise = cv2.GaussianBlur(grain, (0, 0), sigmaX=7 / mpp, sigmaY=0.7 / mpp)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    bend = 8 / mpp * _smooth_noise(size, 45 / mpp, rng)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = x - width / 2, y - height / 2
    along, across = x * cos + y * sin + diagonal / 2, y * cos - x * sin + diagonal / 2 + bend
    turned = cv2.remap(noise, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return (turned / max(float(turned.std()), 1e-6)).clip(-2, 2.5)


def _nuclei(nests: Mask, direction: Density, shape: Morphology, mpp: float, rng: np.random.Generator) -> Density:
    """How much of each pixel is nucleus, 0 to 1: packed in the nests, sparse spindles in the stroma."""
    canvas = np.zeros(nests.shape, np.uint8)
    packed = _scatter(nests.shape, shape.nucleus_spacing_um / mpp, rng)
    packed = packed[nests[packed[:, 1].astype(int), packed[:, 0].astype(int)]]
    turn = rng.uniform(0, 180, len(packed))
    _stamp(canvas, packed, shape.nucleus_radius_um / mpp, shape.eccentricity, turn, rng)
    sparse = _scatter(nests.shape, 19 / mpp, rng)
    at = sparse[:, 1].astype(int), sparse[:, 0].astype(int)
    stroma = ~nests[at]
    turn = np.degrees(direction[at])[stroma] + rng.normal(0, 15, int(stroma.sum()))
    _stamp(canvas, sparse[stroma], 2.6 / mpp, 0.93, turn, rng)
    nuclei = cv2.GaussianBlur(canvas, (0, 0), 0.35 / mpp).astype(np.float32) / 255
    chromatin = 1 + 0.16 * _smooth_noise(nests.shape, 1.6 / mpp, rng)
    return (nuclei * chromatin).clip(0, 1)


def _scatter(size: tuple[int, ...], spacing: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (x, y) on a jittered hexagonal grid inside ``size``."""
    height, width = size
    rows, columns = int(height / (spacing * 0.87)) + 1, int(width / spacing) + 1
    row, column = np.mgrid[0:rows, 0:columns].reshape(2, -1)
    points = np.stack([(column + row % 2 / 2) * spacing, row * spacing * 0.87], axis=1)
    points += rng.normal(0, 0.22 * spacing, points.shape)
    inside = (points >= 0).all(axis=1) & (points < (width, height)).all(axis=1)
    return points[inside & (rng.random(len(points)) < 0.92)]


def _stamp(
    canvas: Image,
    points: NDArray[np.float64],
    radius: float,
    eccentricity: float,
    turn_degrees: NDArray[Any],
    rng: np.random.Generator,
) -> None:
    """Draw filled ellipses of equal mean area onto ``canvas``, each with its own size and darkness."""
    fraction_bits = 4
    size = radius * np.exp(rng.normal(0, 0.14, len(points)))
    ratio = np.sqrt(1 - np.clip(eccentricity + rng.normal(0, 0.06, len(points)), 0, 0.96) ** 2)
    axes = np.stack([size / np.sqrt(ratio), size * np.sqrt(ratio)], axis=1)
    darkness = rng.integers(150, 250, len(points))
    scaled = (points * 2**fraction_bits).astype(int).tolist()
    lengths = np.maximum(axes * 2**fraction_bits, 8).astype(int).tolist()
    for centre, length, turn, dark in zip(scaled, lengths, turn_degrees.tolist(), darkness.tolist(), strict=True):
        cv2.ellipse(canvas, centre, length, turn, 0, 360, dark, -1, cv2.LINE_AA, fraction_bits)
