"""Files that a config names, and what lies in the store: what is not there, or was made with other settings."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mirrorflow.config.datasets import PART
from mirrorflow.errors import MirrorflowError
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs

TABLES = ("tcga",)
"""Words that stand for a table that comes with mirrorflow."""
NEW_PATIENTS = ("slides", "features", "expression", "sheet", "weights")
"""Files of new patients: read once all models are there."""


def file_lines(config: Mapping[str, Any]) -> Iterator[str]:
    """Weights, gene sets, censuses, tables of institutions and folders of folds that are not there."""
    fetched = {entry["path"] for entry in config["downloads"].values()}
    for key, path in named_files(config):
        inside = path.startswith(f"{config['store']}/") or path in fetched
        if not inside and path not in TABLES and not Path(path).exists():
            yield f"PROBLEM: {key}: {path} is not there; correct the path, or leave the key out"


def named_files(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and path of each file that a run reads late: sheets, matrices and feature files are looked into elsewhere."""
    used = {encoder for entry in config["cohorts"].values() for encoder in entry["encoders"]}
    for name, encoder in config["features"]["encoders"].items():
        if name in used and encoder["weights"] not in ("random", "hub"):
            yield f"features.encoders.{name}.weights", encoder["weights"]
    for name, entry in config["cohorts"].items():
        for key in ("census", "institutions"):
            if entry.get(key):
                yield f"cohorts.{name}.{key}", entry[key]
        for split, folder in entry["splits"].items():
            if PART not in folder:
                yield f"cohorts.{name}.splits.{split}", folder
    yield from ((key, path) for key, path in _gene_sets(config) if path and path != "random")
    for name, entry in config["new_patients"].items():
        yield from ((f"new_patients.{name}.{key}", entry[key]) for key in NEW_PATIENTS if entry.get(key))


def _gene_sets(config: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Key and path of each file of gene sets; ``random`` and None stand for no file."""
    yield "expression.selection.gene_sets", config["expression"]["selection"].get("gene_sets")
    for name, entry in config["methods"].items():
        yield f"methods.{name}.gene_sets", entry.get("gene_sets")
        yield f"methods.{name}.selection.gene_sets", (entry.get("selection") or {}).get("gene_sets")
    genes = (config.get("explain") or {}).get("genes") or {}
    yield "explain.genes.gene_sets", genes.get("gene_sets")


def stored_lines(config: Mapping[str, Any]) -> Iterator[str]:
    """What the store holds of other settings, with the folders to delete."""
    run = Run(config)
    try:
        StoredChecks(run, CohortInputs(run), SlideInputs(run), PredictionInputs(run)).hold(())
    except MirrorflowError as error:
        yield f"PROBLEM: {error}"
