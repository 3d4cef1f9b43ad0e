"""Public data sets by name: resources/sources.tsv, and the config's ``downloads`` on top of it.

A size, a checksum or a date that nobody has recorded is empty there: the sources carry none themselves. The first
download pins what it found (:mod:`mirrorflow.steps.cohort.download_dataset`). Free of pandas, as the config is.
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import ConfigError

SOURCES = RESOURCES / "sources.tsv"
COLUMNS = ("dataset", "version", "url", "size", "checksum", "licence", "date", "probemap", "note")
CHECKSUM = re.compile(r"(?P<kind>md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})\Z")
FILE = "{file}"
"""Stands in the address of a data set of several files for the name of each."""

FOLD, PART = "{fold}", "{part}"
"""Stand in the address, or the path, of folds that have a file a side: a fold's number, and train or test."""
SIDES = ("train", "test")
PART_FILE = re.compile(r"(?P<part>train|test)_(?P<fold>[0-9]+)\.csv\Z")
"""What such a file is called in the store."""

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def read_sources(path: Path = SOURCES) -> dict[str, dict[str, str]]:
    """Rows of sources.tsv by data set, every cell as text."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["dataset"]: row for row in csv.DictReader(stream, delimiter="\t")}


def find_dataset(name: str, own: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """What is known of a data set: url, size, checksum, probemap, file (its name in the store).

    own: the config's ``downloads``, whose keys take the place of those in sources.tsv. Raises ConfigError for a
    name that neither knows, for a set without an address, and for a checksum of another form.
    """
    known = read_sources()
    if name not in known and name not in own:
        message = (
            f"{where}: no data set {name!r} in resources/sources.tsv or in `downloads`; "
            f"known: {', '.join([*known, *own])}"
        )
        raise ConfigError(message)
    listed, mine = known.get(name, {}), own.get(name, {})
    url, size, checksum = (mine.get(key) or listed.get(key) or "" for key in ("url", "size", "checksum"))
    if not url:
        message = f"downloads.{name}: needs a `url`: the data set is not in resources/sources.tsv"
        raise ConfigError(message)
    if checksum and not CHECKSUM.match(checksum):
        message = f"downloads.{name}.checksum: {checksum!r} is neither md5:<32 digits> nor sha256:<64 digits>"
        raise ConfigError(message)
    return {
        "url": url,
        "size": int(size) if size else None,
        "checksum": checksum,
        "probemap": listed.get("probemap", ""),
        "file": _file_name(listed.get("url") or url, name),
    }


def _file_name(url: str, name: str) -> str:
    """Last part of an address, in which Xena writes a slash as %2F: the same whatever mirror is used."""
    last = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]
    return last if FILE_NAME.match(last) else name


def fold_files(source: str, fold: int) -> list[str]:
    """Files of a fold: ``splits_<k>.csv`` of a folder, or a file a side where the source says {fold} and {part}."""
    if PART not in source:
        return [f"{source}/splits_{fold}.csv"]
    return [source.replace(FOLD, str(fold)).replace(PART, side) for side in SIDES]


def address_of(url: str, file: str) -> str:
    """Where ``file`` of a data set is fetched from."""
    if found := PART_FILE.match(file):
        url = url.replace(FOLD, found["fold"]).replace(PART, found["part"])
    return url.replace(FILE, file)


def with_downloads(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with each ``download:`` of an expression source, clinical data, folds or gene sets turned into paths.

    ``downloads`` then holds the data sets that this run uses, each with its ``path`` in the store. Raises ConfigError
    naming the key whose data set is unknown.
    """
    own, used = config["downloads"], {}

    def path_of(name: str, where: str) -> str:
        if name not in used:
            found = find_dataset(name, own, where)
            if FILE in found["url"] or PART in found["url"]:
                message = f"{where}: {name!r} stands for several files ({found['url']}); one is needed"
                raise ConfigError(message)
            used[name] = found | {"path": f"{config['store']}/downloads/{name}/{found['file']}"}
        return used[name]["path"]

    def folder_of(name: str, where: str) -> str:
        found = find_dataset(name, own, where)
        sides = FOLD in found["url"] and PART in found["url"]
        if FILE not in found["url"] and not sides:
            message = (
                f"{where}: the address of {name!r} needs {FILE} where the name splits_<k>.csv stands, or {FOLD} and "
                f"{PART} where the number and train or test stand"
            )
            raise ConfigError(message)
        folder = f"{config['store']}/downloads/{name}"
        used[name] = found | {"path": f"{folder}/{PART}_{FOLD}.csv" if sides else folder}
        return used[name]["path"]

    sources = {
        name: _source(entry, f"expression.sources.{name}", path_of, used)
        for name, entry in config["expression"]["sources"].items()
    }
    cohorts = {
        name: entry
        | {
            "clinical": _clinical(entry["clinical"], f"cohorts.{name}.clinical", path_of),
            "splits": _splits(entry["splits"], f"cohorts.{name}.splits", folder_of),
        }
        for name, entry in config["cohorts"].items()
    }
    selection = _gene_sets(config["expression"]["selection"], "expression.selection", path_of)
    expression = config["expression"] | {"sources": sources, "selection": selection}
    methods = {name: _of_method(entry, f"methods.{name}", path_of) for name, entry in config["methods"].items()}
    found = dict(config) | {"cohorts": cohorts, "expression": expression, "methods": methods}
    return found | _explained(config, path_of) | {"downloads": used}


def _explained(config: Mapping[str, Any], path_of: Any) -> dict[str, Any]:
    """The section ``explain``, where there is one, with its gene sets."""
    if not (named := config.get("explain")) or "genes" not in named:
        return {}
    return {"explain": {**named, "genes": _gene_sets(named["genes"], "explain.genes", path_of)}}


def _of_method(entry: Mapping[str, Any] | None, where: str, path_of: Any) -> dict[str, Any]:
    """A method's gene sets, and those of its own gene selection."""
    entry = _gene_sets(entry or {}, where, path_of)
    if "selection" in entry:
        entry["selection"] = _gene_sets(entry["selection"], f"{where}.selection", path_of)
    return entry


def _gene_sets(entry: Mapping[str, Any], where: str, path_of: Any) -> dict[str, Any]:
    sets = entry.get("gene_sets")
    if not isinstance(sets, Mapping):
        return dict(entry)
    return {**entry, "gene_sets": path_of(sets["download"], f"{where}.gene_sets.download")}


def _source(entry: Mapping[str, Any], where: str, path_of: Any, used: Mapping[str, Any]) -> dict[str, Any]:
    """A matrix by name brings the probe map that belongs to it along."""
    entry = dict(entry)
    if name := entry.pop("download", None):
        entry["matrix"] = path_of(name, f"{where}.download")
        if used[name]["probemap"] and "probemap" not in entry:
            entry["probemap"] = path_of(used[name]["probemap"], where)
    if isinstance(entry.get("probemap"), Mapping):
        entry["probemap"] = path_of(entry["probemap"]["download"], f"{where}.probemap.download")
    return entry


def _clinical(entry: Mapping[str, Any], where: str, path_of: Any) -> dict[str, Any]:
    entry = dict(entry)
    for key, names in entry.pop("download", {}).items():
        several = isinstance(names, list)
        paths = [path_of(name, f"{where}.download.{key}") for name in (names if several else [names])]
        entry[key] = paths if several else paths[0]
    if "sheet" not in entry and (missing := {"survival", "matrix"} - set(entry)):
        key = sorted(missing)[0]
        message = f"{where}: no {key}: give its path in {where}.{key} or a data set in {where}.download.{key}"
        raise ConfigError(message)
    return entry


def _splits(entry: Mapping[str, Any], where: str, folder_of: Any) -> dict[str, Any]:
    """Folders of split files: the user's own, or that of a data set with one file a fold."""
    return {
        name: value if isinstance(value, str) else folder_of(value["download"], f"{where}.{name}.download")
        for name, value in entry.items()
    }
