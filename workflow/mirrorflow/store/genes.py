"""``genes/fold<k>.tsv``: the genes a model sees, named, in the order of its inputs; beside it what saw what.

Columns id (transcript or gene), gene (symbol), reason, rank, coefficient, fold, labels_seen. ``fold<k>.json``
holds the settings, their digest, the patients whose labels were used, scores, and the census.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import clear_leftovers, write_text
from mirrorflow.store.digest import canonical, digest, same_settings

COLUMNS = ("id", "gene", "reason", "rank", "coefficient", "fold", "labels_seen")
OF_THE_FILE = ("settings", "digest", "manifest_sha256")
"""Keys of the sidecar that the file is held against; the others tell of its genes."""
COPIES = ".kept"
"""Folder of copies, beside the manifests."""
TYPES: Mapping[Any, Any] = {
    "id": "str",
    "gene": "str",
    "reason": "str",
    "rank": "Int64",
    "fold": "int64",
    "labels_seen": "int64",
}


def sidecar_of(manifest: str | Path) -> Path:
    """``genes/fold0.tsv`` -> ``genes/fold0.json``."""
    return Path(manifest).with_suffix(".json")


def write_genes(path: str | Path, genes: pd.DataFrame, settings: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write the manifest and its sidecar, which is there only with a whole manifest; then :func:`copy_of` it."""
    text = genes[list(COLUMNS)].to_csv(sep="\t", index=False, float_format="%.9g")
    sidecar_of(path).unlink(missing_ok=True)
    write_text(path, text)
    made = dict(zip(OF_THE_FILE, (dict(settings), digest(settings), _content(text)), strict=True))
    write_text(sidecar_of(path), json.dumps(made | dict(record), indent=1) + "\n")
    _copy(path, copy_of(path))


def copy_of(path: str | Path) -> Path:
    """A manifest's copy, which no rule declares: what is declared is removed before a job runs, and when it fails."""
    return Path(path).parent / COPIES / Path(path).name


def restore_genes(path: str | Path, settings: Mapping[str, Any]) -> bool:
    """Whether a manifest made with these very settings, or its copy, lies there whole; afterwards both do."""
    copy = copy_of(path)
    clear_leftovers(copy.parent)
    there, copied = is_finished(path, settings), is_finished(copy, settings)
    if copied and not there:
        _copy(copy, path)
    elif there and not copied:
        _copy(path, copy)
    return there or copied


def _copy(path: str | Path, to: str | Path) -> None:
    sidecar_of(to).unlink(missing_ok=True)
    for source, target in ((Path(path), Path(to)), (sidecar_of(path), sidecar_of(to))):
        write_text(target, source.read_text(encoding="utf-8"))


def is_finished(path: str | Path, settings: Mapping[str, Any]) -> bool:
    """Whether a manifest made with these very settings lies there whole."""
    path = Path(path)
    try:
        record = read_record(path)
    except InputError:
        return False
    whole = path.exists() and record["manifest_sha256"] == _content(path.read_text(encoding="utf-8"))
    return whole and same_settings(canonical(record.get("settings", {})), settings)


def read_genes(path: str | Path) -> pd.DataFrame:
    """The manifest, in the order of the model's inputs. Raises InputError when columns are missing."""
    table = pd.read_csv(path, sep="\t", dtype=TYPES, keep_default_na=False, na_values={"rank": "", "coefficient": ""})
    if missing := set(COLUMNS) - set(table.columns):
        message = f"{path}: no gene manifest, columns missing: {', '.join(sorted(missing))}"
        raise InputError(message)
    return table


def read_record(path: str | Path) -> dict[str, Any]:
    """What the sidecar of the manifest ``path`` says. Raises InputError when it is missing or broken."""
    sidecar = sidecar_of(path)
    try:
        return json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{sidecar}: cannot be read ({error}); the rule select_genes makes it anew"
        raise InputError(message) from error


def described(path: str | Path) -> dict[str, Any]:
    """What the sidecar of the manifest ``path`` says of its genes, as :func:`write_genes` takes it."""
    return {key: value for key, value in read_record(path).items() if key not in OF_THE_FILE}


def _content(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
