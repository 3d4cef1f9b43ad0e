"""The tables that come with mirrorflow (``resources/``): where they lie, and what they hold.

A rule names a table's digest among its params instead of the file among its inputs: an edited table re-runs
the rules that read it, a checkout that moved or whose files are new re-runs none.
"""

import csv
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
"""The checkout: the folder of the Snakefile."""

RESOURCES = ROOT / "resources"
METHODS_FILE = ROOT / "config" / "methods.yaml"
ENCODERS_FILE = ROOT / "config" / "encoders.yaml"

OUR_INSTITUTIONS = "tcga"
"""The word that a config or a command gives for the table of institutions that comes with mirrorflow."""

TCGA_SITES = "tcga_sites.tsv"
"""TCGA's tissue source site codes and the institutions behind them (the GDC's code table, spellings made one)."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast form of the safe loader where it was built: every job of a cluster reads schema and methods."""


def read_yaml(path: Path) -> Any:
    """What a YAML file that comes with mirrorflow holds."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)


def institution_table(named: str | Path) -> Path:
    """The sheet of institutions that a config or a command names, or ours by its word."""
    return RESOURCES / TCGA_SITES if str(named) == OUR_INSTITUTIONS else Path(named)


def listed_titles(kind: str) -> dict[str, str]:
    """Name -> title of one kind (cohort, encoder, ...) in resources/names.tsv."""
    with (RESOURCES / "names.tsv").open(encoding="utf-8", newline="") as stream:
        return {row["name"]: row["title"] for row in csv.DictReader(stream, delimiter="\t") if row["kind"] == kind}


@lru_cache
def resource_digest(name: str) -> str:
    """Sixteen hexadecimal digits that stand for the content of ``resources/<name>``."""
    return hashlib.sha256((RESOURCES / name).read_bytes()).hexdigest()[:16]
