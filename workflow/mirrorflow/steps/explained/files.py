"""What is explained of a unit as files: raw values as parquet, tiles as GeoJSON for QuPath."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.runtime.files import written_whole
from mirrorflow.slides.qupath import tile_features
from mirrorflow.steps.explained.on_unit import Explained
from mirrorflow.steps.explained.slides import Placed
from mirrorflow.steps.prototypes.slide_tiles import tokens_of
from mirrorflow.store.features import describe_features


def values_of(found: Explained) -> dict[str, np.ndarray]:
    """Every number [patch] by the name of its column."""
    columns: dict[str, np.ndarray] = {}
    for one in found.weights:
        name = one.name.replace(" ", "_")
        columns[name] = one.values
        columns[f"{name}_rank"] = rank_of(one.values)
        if one.deviation is not None:
            columns[f"{name}_deviation"] = one.deviation
        if one.heads is not None:
            columns |= {f"{name}_head_{number + 1}": head for number, head in enumerate(one.heads)}
    return columns | {"group": found.group, "removal_effect": found.effect}


def rank_of(values: np.ndarray) -> np.ndarray:
    """Share of the patches below each [patch], from 0 to 1; equal ones share the mean of their places."""
    place = pd.Series(values).rank().to_numpy() - 1
    return place / max(1, len(values) - 1)


def table_of(found: Explained, places: Sequence[Placed]) -> pd.DataFrame:
    """A row a patch: its slide, its row in the feature file, its corner in level-0 pixels if it has one, its values."""
    counts = [describe_features(path).n for path in found.files]
    slide = np.repeat(found.slides, counts)
    row = np.concatenate([np.arange(count) for count in counts])
    looked = tokens_of(len(row), found.looked_at)
    table = pd.DataFrame({"slide_id": slide[looked], "row": row[looked], "x": np.nan, "y": np.nan})
    for one in places:
        table.loc[one.part.rows, ["x", "y"]] = one.part.tiles.corners.astype(float)
    return table.assign(**values_of(found))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """The table, whole or not at all."""
    with written_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_geojson(path: Path, place: Placed, found: Explained) -> None:
    """The slide's tiles for QuPath, with weights (times an equal share, and rank) and the effect of removal."""
    part = place.part
    own = {name: values[part.rows] for name, values in _measurements(found).items()}
    collection = tile_features(part.slide, part.tiles.corners, part.tiles.side, own, place.origin)
    text = json.dumps(collection, separators=(",", ":"))
    with written_whole(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), 6, mtime=0))


def _measurements(found: Explained) -> Mapping[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for one in found.weights:
        named |= {f"{one.name} (x equal share)": one.values, f"{one.name} (rank)": rank_of(one.values)}
    return named | {f"removal effect ({found.asked.name})": found.effect}
