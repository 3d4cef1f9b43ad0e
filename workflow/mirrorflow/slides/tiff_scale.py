"""What a TIFF says of its physical scale, under the names OpenSlide gives it."""

import xml.etree.ElementTree as ET
from typing import Any

import tifffile

UNITS_UM = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def scale_properties(tiff: tifffile.TiffFile, series: int) -> dict[str, str]:
    """Scale and objective of a series (its index), from OME-XML, else from the resolution tags; or nothing."""
    if tiff.ome_metadata:
        return _ome_properties(tiff.ome_metadata, series)
    page: Any = tiff.series[series].keyframe
    unit = {2: 25400.0, 3: 10000.0}.get(int(page.resolutionunit or 1))
    density = page.resolution[0]
    if unit is None or not density:
        return {}
    return {"openslide.mpp-x": str(unit / density), "openslide.mpp-y": str(unit / page.resolution[1])}


def _ome_properties(xml: str, series: int) -> dict[str, str]:
    """Of the image that the series shows: a label's scale is not the scan's."""
    properties = {}
    root = ET.fromstring(xml)
    images = root.findall("{*}Image")
    pixels = images[series].find("{*}Pixels") if series < len(images) else None
    if pixels is not None:
        for axis in "XY":
            size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
            if size and unit in UNITS_UM:
                properties[f"openslide.mpp-{axis.lower()}"] = str(float(size) * UNITS_UM[unit])
    objective = root.find(".//{*}Objective")
    if objective is not None and objective.get("NominalMagnification"):
        properties["openslide.objective-power"] = objective.get("NominalMagnification", "")
    return properties
