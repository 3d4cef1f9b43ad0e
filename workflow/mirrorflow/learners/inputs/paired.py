"""Paired units of a cohort: bags of patches and expression, side by side, from the store."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.store.bags import FeatureBags, features_fingerprint
from mirrorflow.store.digest import names_digest, slides_digest
from mirrorflow.store.expression import read_expression
from mirrorflow.store.tables import read_text_sheet


@dataclass(frozen=True)
class PairedUnits:
    """Units in a fixed order. ``expression`` [unit, gene] is unscaled, in the order of ``gene_ids``."""

    names: list[str]
    patients: list[str]
    files: list[list[Path]]
    expression: np.ndarray
    gene_ids: list[str]
    patch_dim: int
    moments: Path | None = None
    """Folder in which the moments of files are kept."""

    def bags(self, cache_gb: float) -> FeatureBags:
        """The units' bags, read when asked for."""
        return FeatureBags(self.files, cache_gb, self.names, self.moments)

    def only(self, rows: Sequence[int]) -> "PairedUnits":
        """The units of ``rows``, in that order."""
        return PairedUnits(
            [self.names[i] for i in rows],
            [self.patients[i] for i in rows],
            [self.files[i] for i in rows],
            self.expression[list(rows)],
            self.gene_ids,
            self.patch_dim,
            self.moments,
        )

    def digests(self) -> dict[str, str]:
        """What these units are, as digests: names, features and whose they are, expression, genes."""
        return {
            "units": names_digest(self.names),
            "features": features_fingerprint([path for paths in self.files for path in paths]),
            "expression": hashlib.sha256(self.expression.tobytes()).hexdigest()[:16],
            "genes": names_digest(self.gene_ids),
            **slides_digest(self.files),
        }


def load_paired(units: pd.DataFrame, features_index: Path, expression: Path, genes_manifest: Path) -> PairedUnits:
    """Look up the slides' feature files and read the manifest's genes of the units' patients.

    Raises InputError naming the unit that has no slide with features, or the file that is missing.
    """
    files, patch_dim = slide_files(units, features_index)
    gene_ids = read_text_sheet(genes_manifest)["id"].tolist()
    values = read_expression(expression, patients=sorted(set(units["patient"])), genes=gene_ids)
    row_of = {patient: row for row, patient in enumerate(values.patients)}
    rows = [row_of[patient] for patient in units["patient"]]
    return PairedUnits(
        units["unit"].tolist(),
        units["patient"].tolist(),
        files,
        np.asarray(values.values, dtype=np.float32)[rows],
        gene_ids,
        patch_dim,
        moments_beside(features_index),
    )


def moments_beside(features_index: Path) -> Path:
    """The folder of the moments of the files that an index names."""
    return features_index.with_suffix(".moments")


def slide_files(units: pd.DataFrame, features_index: Path) -> tuple[list[list[Path]], int]:
    """Feature files of each unit's slides, and how wide the features are. Raises InputError as :func:`load_paired`."""
    index = read_text_sheet(features_index)
    index = index[index["status"] == "ok"].set_index("slide_id")
    files = [_files(row, index, features_index) for row in units.itertuples(index=False)]
    return files, int(index["dim"].iloc[0])


def _files(unit: Any, index: pd.DataFrame, features_index: Path) -> list[Path]:
    paths = [Path(index.loc[slide, "path"]) for slide in unit.slide_ids if slide in index.index]
    if not paths:
        message = (
            f"{unit.unit}: none of its slides ({', '.join(unit.slide_ids)}) has features in "
            f"{features_index}; leave this unit out of the cohort"
        )
        raise InputError(message)
    return paths
