"""Features as lazyslide keeps them: ``<slide>.zarr``, a SpatialData store whose tables are AnnData, its tiles shapes.

Layout as wsidata 0.12 and SpatialData 0.7 write it: ``tables/<encoder>_<tiles>`` with a row a tile, ``obs/tile_id`` and
``obs/library_id``; ``shapes/<tiles>/shapes.parquet`` (GeoParquet, polygons in level-0 pixels) with ``tile_id``; the
size of the tiles in the store's attribute ``tile_spec``.
"""

import json
import shutil
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError

TILES = "tiles"
"""What wsidata calls the tiles of a slide."""
AXES = [{"name": axis, "type": "space", "unit": "unit"} for axis in ("x", "y")]
AS_IT_IS = {
    "type": "identity",
    "input": {"name": "xy", "axes": AXES},
    "output": {"name": "global", "axes": AXES},
}
"""Places are pixels of the full size: SpatialData's coordinate system ``global``."""


def zarr_package(where: Path) -> Any:
    """The package zarr. Raises InputError with the way to get it where it is not installed."""
    try:
        import zarr
    except ImportError as error:
        message = f"{where}: zarr stores need the package zarr, which is not installed: pip install 'mirrorflow[zarr]'"
        raise InputError(message) from error
    return zarr


def read_store(path: Path, table: str) -> tuple[NDArray[Any], NDArray[np.int64] | None, str, dict[str, Any]]:
    """Values [tile, value] of a table, corners in level-0 pixels where known, encoder, what is known of the grid.

    Tiles and features meet by ``tile_id`` where both have it. Raises InputError for a store without such a table.
    """
    zarr = zarr_package(path)
    tables = sorted(one.name for one in (path / "tables").glob("*") if (one / "X").is_dir())
    if table not in tables and (table or len(tables) != 1):
        what = f"no table {table!r}" if table else "not one table of features"
        message = f"{path}: {what} (there: {', '.join(tables) or 'none'}); name one by --table"
        raise InputError(message)
    name = table or tables[0]
    group = path / "tables" / name
    try:
        values = np.asarray(zarr.open_array(str(group / "X"), mode="r")[:])
        ids = np.asarray(zarr.open_array(str(group / "obs/tile_id"), mode="r")[:]) if _has_ids(group) else None
    except (ValueError, OSError, RuntimeError) as error:
        message = f"{group}: not a table of numbers that zarr reads ({str(error).splitlines()[0][:120]})"
        raise InputError(message) from error
    encoder, _, tiles = name.rpartition("_")
    shapes = path / "shapes" / tiles / "shapes.parquet"
    coords = corners_of(shapes, ids, len(values)) if shapes.exists() else None
    return values, coords, encoder, _grid(path, tiles)


def _has_ids(group: Path) -> bool:
    return (group / "obs/tile_id").is_dir()


def _grid(path: Path, tiles: str) -> dict[str, Any]:
    """Side of a tile in its own and in level-0 pixels, and its um/px, as far as the store says."""
    try:
        said = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["tile_spec"][tiles]
        level0 = float(said["width"]) * float(said.get("base_downsample", 1.0))
        found: dict[str, Any] = {"patch_size": int(said["width"]), "patch_size_level0": round(level0)}
        return found | ({"patch_mpp": float(said["mpp"])} if said.get("mpp") else {})
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def corners_of(shapes: Path, ids: NDArray[Any] | None, count: int) -> NDArray[np.int64]:
    """Upper left corners [feature, 2] of the tiles of ``ids``; without ids on either side, of tile by tile.

    Raises InputError for tiles that are no polygons, and for features of other tiles.
    """
    import pyarrow.parquet as pq

    there, found = pq.read_schema(shapes).names, corners(shapes)
    if ids is not None and "tile_id" in there:
        theirs = pq.read_table(shapes, columns=["tile_id"]).column(0).to_pylist()
        row = {tile: number for number, tile in enumerate(theirs)}
        if lost := [tile for tile in ids.tolist() if tile not in row]:
            message = f"{shapes}: no tile {lost[0]!r} ({len(lost)} such): the features belong to other tiles"
            raise InputError(message)
        return found[[row[tile] for tile in ids.tolist()]]
    if len(found) != count:
        message = f"{shapes}: coordinates of shape {found.shape} for {count} patches; they belong to other features"
        raise InputError(message)
    return found


def corners(shapes: Path) -> NDArray[np.int64]:
    """Upper left corners [tile, 2] of the polygons of a GeoParquet file (well-known binary), in its units.

    Raises InputError for geometries that are no polygons.
    """
    import pyarrow.parquet as pq

    found = []
    for binary in pq.read_table(shapes, columns=["geometry"]).column(0).to_pylist():
        order = "<" if binary[0] else ">"
        kind, _, points = struct.unpack_from(f"{order}III", binary, 1)
        if kind != 3:
            message = f"{shapes}: a geometry of type {kind}, not a polygon (3); tiles are polygons"
            raise InputError(message)
        ring = np.array(struct.unpack_from(f"{order}{2 * points}d", binary, 13)).reshape(-1, 2)
        found.append(ring.min(0))
    return np.rint(np.array(found).reshape(-1, 2)).astype(np.int64)


def write_store(
    path: Path, features: NDArray[np.float32], coords: NDArray[np.int64], encoder: str, grid: Mapping[str, Any]
) -> None:
    """A new store with one table of features [tile, value] and their tiles, at corners [tile, 2] in level-0 pixels.

    grid: ``patch_size``, ``patch_size_level0`` and, where known, ``patch_mpp``. Raises InputError for a path that is
    there already (it may hold more than features), and without the packages zarr and anndata.
    """
    zarr = zarr_package(path)
    if path.exists():
        message = f"{path}: is there already, and may hold more than features; name another folder by --out"
        raise InputError(message)
    temporary = path.with_name(f".tmp-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        spec = {TILES: _spec(grid)} if {"patch_size", "patch_size_level0"} <= set(grid) else {}
        root = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        root.attrs.update({"spatialdata_attrs": {"version": "0.2"}} | ({"tile_spec": spec} if spec else {}))
        _write_shapes(root.create_group("shapes").create_group(TILES), temporary, coords, int(_side(grid)))
        _write_table(root.create_group("tables"), f"{encoder or 'features'}_{TILES}", features)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _side(grid: Mapping[str, Any]) -> float:
    return float(grid.get("patch_size_level0", grid.get("patch_size", 1)))


def _spec(grid: Mapping[str, Any]) -> dict[str, Any]:
    """wsidata's words for the size of a tile."""
    side = int(grid["patch_size"])
    sides = dict.fromkeys(("height", "width", "stride_height", "stride_width"), side)
    mpp = float(grid["patch_mpp"]) if "patch_mpp" in grid else None
    return {**sides, "mpp": mpp, "base_level": 0, "base_downsample": _side(grid) / side}


def _write_shapes(group: Any, root: Path, coords: NDArray[np.int64], side: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    version = {"version": "0.3"}
    kinds = {"encoding-type": "ngff:shapes", "axes": ["x", "y"], "spatialdata_attrs": version}
    group.attrs.update(kinds | {"coordinateTransformations": [AS_IT_IS]})
    count = len(coords)
    columns = {
        "tile_id": np.arange(count),
        "x": coords[:, 0],
        "y": coords[:, 1],
        "tissue_id": np.zeros(count, np.int64),
        "geometry": pa.array([square(float(x), float(y), side) for x, y in coords], pa.binary()),
    }
    geo = {"encoding": "WKB", "crs": None, "geometry_types": ["Polygon"]}
    said = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geo}}
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(said)})
    pq.write_table(table, root / "shapes" / TILES / "shapes.parquet")


def square(x: float, y: float, side: float) -> bytes:
    """A square with its upper left corner at x, y as well-known binary."""
    ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + b"".join(struct.pack("<dd", *point) for point in ring)


def _write_table(tables: Any, name: str, features: NDArray[np.float32]) -> None:
    import pandas as pd

    from mirrorflow.store.anndata_package import anndata

    ids = np.arange(len(features))
    obs = pd.DataFrame({"tile_id": ids, "library_id": pd.Categorical([TILES] * len(ids))}, index=ids.astype(str))
    whose = {"region": TILES, "region_key": "library_id", "instance_key": "tile_id"}
    table = anndata().AnnData(X=features, obs=obs, uns={"spatialdata_attrs": whose})
    with warnings.catch_warnings():  # of what the package's next version will do by default
        warnings.simplefilter("ignore", UserWarning)
        anndata().io.write_elem(tables, name, table)
    tables[name].attrs.update({"spatialdata-encoding-type": "ngff:regions_table", **whose, "version": "0.2"})
