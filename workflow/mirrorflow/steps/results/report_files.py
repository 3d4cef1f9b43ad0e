"""The files that the page is made from, and their addresses from the page's folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Inputs:
    """Paths the page is made from: of the run, and the ledgers of its store."""

    results: Path
    main_tables: list[Path]
    audits: list[Path]
    cohorts: list[Path]
    """<cohort>.parquet; the flow and the dropped lie beside each."""
    summaries: list[Path]
    genes: list[Path]
    ledgers: list[Path]
    figures: list[Path]
    """Folders of draw_figures, draw_prototypes, explain_slides, map_embeddings and explain_genes."""
    models: list[Path]
    """done.json of every pretrained model; retrieval.json lies beside it."""
    further_tables: list[Path] = field(default_factory=list)
    """Further tables as written: only their .md and .csv are shown."""
    gene_sets: list[Path] = field(default_factory=list)
    """Pathways and families that methods take."""
    expressions: list[Path] = field(default_factory=list)
    """Expression of the cohorts, in which the genes of these sets are counted."""
    predictions: list[Path] = field(default_factory=list)
    """Manifests of the predictions; those of the methods ahead are shown patient by patient."""


@dataclass(frozen=True)
class Links:
    """Addresses of files, relative to the folder that the page lies in."""

    folder: Path

    def to(self, *paths: Path) -> list[str]:
        """Addresses of the files that lie below the page's folder; others have none: a page tells no other place."""
        return [quote(Path(one).as_posix()) for path in paths if (one := self._below(path))]

    def _below(self, path: Path) -> str:
        relative = os.path.relpath(path, self.folder)
        return "" if relative.startswith(os.pardir) or not path.exists() else relative

    def beside(self, folder: Path, names: Sequence[str]) -> list[str]:
        """Addresses of the files of these names in a folder, as far as they are there."""
        return self.to(*(folder / name for name in names))
