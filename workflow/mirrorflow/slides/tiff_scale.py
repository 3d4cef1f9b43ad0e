"""What a TIFF says of its physical scale, under the names OpenSlide gives it."""

import math
import xml.etree.ElementTree as ET
from typing import Any

import tifffile

PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "": 0, "d": -1, "c": -2,
    "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
INCH_UM = 25400.0
UNITS_UM = {
    **{f"{prefix}m": 10.0 ** (power + 6) for prefix, power in PREFIXES.items()},
    "Å": 1e-4, "\u212b": 1e-4, "thou": INCH_UM / 1000, "li": INCH_UM / 12, "pt": INCH_UM / 72, "in": INCH_UM,
    "ft": 12 * INCH_UM, "yd": 36 * INCH_UM, "mi": 63360 * INCH_UM,
}  # fmt: skip
"""UnitsLength of the OME schema (2016-06) that are a length; ``pixel`` and ``reference frame`` are none."""

TAG_UNITS_UM = {2: INCH_UM, 3: 10000.0}
"""The tag ResolutionUnit: inch, centimetre."""


def scale_properties(tiff: tifffile.TiffFile, series: int) -> dict[str, str]:
    """Scale and objective of a series (its index), from OME-XML, else from the resolution tags; or nothing."""
    page: Any = tiff.series[series].keyframe
    return _tag_properties(page) | (_ome_properties(tiff.ome_metadata, series) if tiff.ome_metadata else {})


def _tag_properties(page: Any) -> dict[str, str]:
    unit = TAG_UNITS_UM.get(int(page.resolutionunit or 1))
    x, y = page.resolution
    return {"openslide.mpp-x": str(unit / x), "openslide.mpp-y": str(unit / y)} if unit and x and y else {}


def _ome_properties(xml: str, series: int) -> dict[str, str]:
    """Of the image that the series shows: a label's scale is not the scan's. An axis alone stands for both."""
    root = ET.fromstring(xml)
    images = root.findall("{*}Image")
    image = images[series] if series < len(images) else None
    pixels = None if image is None else image.find("{*}Pixels")
    sizes = {} if pixels is None else {axis: _length_um(pixels, f"PhysicalSize{axis}") for axis in "XY"}
    x, y = sizes.get("X") or sizes.get("Y"), sizes.get("Y") or sizes.get("X")
    properties = {"openslide.mpp-x": str(x), "openslide.mpp-y": str(y)} if x and y else {}
    if power := _objective(root, image):
        properties["openslide.objective-power"] = power
    return properties


def _length_um(pixels: ET.Element, name: str) -> float | None:
    unit = UNITS_UM.get(pixels.get(f"{name}Unit", "µm"))
    try:
        size = float(pixels.get(name, ""))
    except ValueError:
        return None
    return size * unit if unit and math.isfinite(size) and size > 0 else None


def _objective(root: ET.Element, image: ET.Element | None) -> str:
    """NominalMagnification of the image's own objective, else of the only one there is."""
    objectives = {one.get("ID", ""): one.get("NominalMagnification", "") for one in root.iter() if _is_objective(one)}
    settings = None if image is None else image.find("{*}ObjectiveSettings")
    if settings is not None and settings.get("ID") in objectives:
        return objectives[settings.get("ID", "")]
    return next(iter(objectives.values())) if len(set(objectives.values())) == 1 else ""


def _is_objective(element: ET.Element) -> bool:
    return element.tag.rpartition("}")[2] == "Objective"
