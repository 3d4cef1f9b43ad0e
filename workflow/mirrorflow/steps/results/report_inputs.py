"""What the report reads: files of a run (and its store) as frames, records and bytes."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.expression.gene_sets import SetCounts, count_sets, parse_gene_sets
from mirrorflow.plan.paths import CohortFile, GeneManifest, MainTable, ModelRecord, SplitSummary, TableFile
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.plan.store_paths import Ledger as LedgerFile
from mirrorflow.report.cohorts import CohortTables
from mirrorflow.report.genes import FoldGenes
from mirrorflow.report.pictures import Drawn, NotDrawn
from mirrorflow.report.slides import Ledger, slides_to_show
from mirrorflow.steps.results.report_files import Links
from mirrorflow.store.expression import read_names
from mirrorflow.store.gene_lists import read_list
from mirrorflow.store.slide_sheet import slide_sheet_said
from mirrorflow.store.tables import read_cohort, read_converted, read_endpoint, read_numbers, read_text_sheet
from mirrorflow.tables.results import NUMBERS

PICTURE_BYTES = 4_500_000
"""Thumbnails of all ledgers together: the page stays below about 8 MB."""
CONTACT_SHEET_BYTES = 700_000
"""A larger contact sheet stays in the store."""
PACKAGES = (
    *("mirrorflow", "snakemake", "torch", "torchvision", "timm", "numpy", "scipy", "pandas", "scikit-learn"),
    *("scikit-survival", "openslide-python", "openslide-bin", "opencv-python-headless", "h5py", "pyarrow"),
    *("safetensors", "matplotlib", "jinja2"),
)


def read_results(path: Path) -> pd.DataFrame:
    """results.csv: numbers as numbers, all else as it is written (a name may be of digits), an empty cell as NaN."""
    table = read_numbers(path, NUMBERS)
    texts = [str(name) for name in table if name not in NUMBERS]
    return table.assign(**{name: table[name].map(lambda cell: cell or np.nan).astype(object) for name in texts})


def read_main_tables(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """main_<task>.csv by task, every cell as text."""
    return {MainTable.parse(path).task: pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths}


def read_further_tables(paths: Sequence[Path]) -> dict[str, tuple[str, list[list[str]]]]:
    """Name -> caption and rows (header first) of the tables that have a Markdown file among ``paths``."""
    tables = {}
    for path in (path for path in paths if path.suffix == ".md"):
        caption, _, header, _, *rows = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        tables[TableFile.parse(path).name] = caption, [_markdown_cells(row) for row in (header, *rows)]
    return tables


def _markdown_cells(row: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def read_audits(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The audits' records."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def read_cohorts(paths: Sequence[Path], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, CohortTables]:
    """Cohorts by name, with the flow and the dropped beside them.

    entries: the config's section ``cohorts``, which names sheets of slides.
    """
    cohorts = {}
    for path in paths:
        frame, classes = read_cohort(path)
        flow = pd.read_csv(path.with_suffix(".flow.tsv"), sep="\t")
        dropped = read_text_sheet(path.with_suffix(".dropped.tsv"))
        name = CohortFile.parse(path).cohort
        slides = entries.get(name, {}).get("slides") or {}
        converted = slide_sheet_said(slides["sheet"], slides["columns"]) if "sheet" in slides else []
        said = read_endpoint(path), [*converted, *read_converted(path)]
        cohorts[name] = CohortTables(frame, classes, flow, dropped, *said)
    return cohorts


def read_summaries(paths: Sequence[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """<model scope>/<cohort>/splits/summary.tsv by model scope and cohort."""
    found = [(SplitSummary.parse(path), path) for path in paths]
    return {(summary.scope, summary.cohort): pd.read_csv(path, sep="\t") for summary, path in found}


def read_genes(paths: Sequence[Path]) -> dict[tuple[str, str], list[FoldGenes]]:
    """<model scope>/<cohort>/genes/fold<k>.tsv and the record beside each, in the order given."""
    genes: dict[tuple[str, str], list[FoldGenes]] = {}
    for path in paths:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        manifest = GeneManifest.parse(path)
        genes.setdefault((manifest.scope, manifest.cohort), []).append(
            FoldGenes(read_text_sheet(path), record["label_patients"])
        )
    return genes


def read_set_counts(sets: Sequence[Path], expressions: Sequence[Path]) -> dict[tuple[str, str], SetCounts]:
    """File of gene sets and cohort -> how many of its genes the cohort's matrix has."""
    symbols = {ExpressionFile.parse(path).cohort: read_names(str(path))[2] for path in expressions}
    parsed = {path.name: parse_gene_sets(read_list(path, "gene_sets"), where=str(path)) for path in sets}
    return {(file, cohort): count_sets(one, names) for file, one in parsed.items() for cohort, names in symbols.items()}


def read_retrieval(records: Sequence[Path]) -> pd.DataFrame:
    """retrieval.json beside each model's done.json (none where nothing was aligned), one row a model."""
    rows = []
    for model in map(ModelRecord.parse, records):
        path = model.folder / "retrieval.json"
        if path.exists():
            where = {name: getattr(model, name) for name in ("cohort", "encoder", "method", "scope")}
            rows.append(where | json.loads(path.read_text(encoding="utf-8")))
    return pd.DataFrame(rows)


def read_ledgers(paths: Sequence[Path]) -> list[Ledger]:
    """<store>/slides/<cohort>/<patching>/ledger.tsv, with as many thumbnails as the page can hold."""
    return [_read_ledger(path, PICTURE_BYTES // len(paths)) for path in paths]


def _read_ledger(path: Path, budget: int) -> Ledger:
    rows = read_text_sheet(path)
    overlays: dict[str, bytes] = {}
    for slide in slides_to_show(rows):
        picture = path.parent / "overlays" / f"{slide}.jpg"
        size = picture.stat().st_size if picture.exists() else 0
        if 0 < size <= budget:
            overlays[slide] = picture.read_bytes()
            budget -= size
    sheet = path.parent / "contact_sheet.jpg"
    small = sheet.exists() and 0 < sheet.stat().st_size <= CONTACT_SHEET_BYTES
    place = LedgerFile.parse(path)
    return Ledger(place.cohort, place.patching, rows, overlays, sheet.read_bytes() if small else None)


def overlays_of(ledgers: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Cohort -> slide -> its picture with mask and patches, of every slide that has one: names are a cohort's own."""
    found: dict[str, dict[str, Path]] = {}
    for path in ledgers:
        pictures = {one.stem: one for one in sorted((path.parent / "overlays").glob("*.jpg"))}
        found.setdefault(LedgerFile.parse(path).cohort, {}).update(pictures)
    return found


def read_figures(folders: Sequence[Path], links: Links) -> tuple[list[Drawn], list[NotDrawn]]:
    """The figures of every cohort, and what could not be drawn, from the folders' figures.json."""
    drawn, left_out = [], []
    for folder in folders:
        record = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        cohort = record["cohort"]
        names = sorted(path.name for path in folder.iterdir())
        drawn += [_drawn(folder, cohort, one, links.beside(folder, _files_of(one, names))) for one in record["figures"]]
        where = _where(folder)
        left_out += [NotDrawn(cohort, one["kind"], one["name"], one["why"], where) for one in record["left_out"]]
    return drawn, left_out


def _where(folder: Path) -> str:
    """What a folder of explained/, attributions/ or maps/ is of; names in figures/ say it themselves."""
    kinds = [at for at, part in enumerate(folder.parts) if part in ("explained", "attributions", "maps")]
    return ", ".join(folder.parts[kinds[-1] + 1 :]) if kinds else ""


def _drawn(folder: Path, cohort: str, one: Mapping[str, str], files: list[str]) -> Drawn:
    svg = (folder / f"{one['name']}.svg").read_bytes()
    return Drawn(cohort, one["kind"], one["title"], one["alt"], one["caption"], svg, one["name"], str(folder), files)


def _files_of(one: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The drawing, its other forms and its table; below a map also raw values and tiles of the patient."""
    patient = one["name"].removesuffix("_map")
    beside = [
        name for name in names if name.startswith((f"{patient}.parquet", f"{patient}_")) and "_map" in one["name"]
    ]
    values = [name for name in beside if name.endswith((".parquet", ".geojson.gz"))]
    return [*(f"{one['name']}.{ending}" for ending in ("svg", "png", "csv")), *values]


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_commit(folder: str) -> str:
    """Commit of the checkout in ``folder``, "with changes" where files differ from it; "" without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}, with changes" if changed else commit


def _git(folder: str, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
