"""Risks of evaluation units after each epoch of a training, written beside its model as it trains.

From them follows what choosing the epoch on evaluation units would have given, from the one training whose last epoch
is reported. Nothing is chosen by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.runtime.files import written_whole

FILE = "epochs.parquet"
COLUMNS = ["epoch", "patient", "slide_id", "risk"]


@dataclass
class EpochRisks:
    """The file of one model: its folder, the evaluation units, and what gives their risks as the network is now."""

    folder: Path
    units: pd.DataFrame
    risks: Callable[[], np.ndarray]

    def go_on_from(self, epoch: int) -> None:
        """Keep what was written up to ``epoch`` of this training (0: nothing); a later epoch comes again."""
        kept = read_epochs(self.folder)
        kept = kept[kept["epoch"] <= epoch]
        if len(kept):
            self._write(kept)
        else:
            forget_epochs(self.folder)

    def add(self, epoch: int) -> None:
        """Write the risks after ``epoch``, from 1."""
        rows = self.units[["patient", "slide_id"]].reset_index(drop=True).assign(epoch=epoch, risk=self.risks())
        before = read_epochs(self.folder)
        self._write(pd.concat([before, rows[COLUMNS]], ignore_index=True) if len(before) else rows[COLUMNS])

    def _write(self, rows: pd.DataFrame) -> None:
        with written_whole(self.folder / FILE) as temporary:
            rows.to_parquet(temporary, index=False)


def forget_epochs(folder: Path) -> None:
    """Remove what an earlier training in a model's folder left."""
    (folder / FILE).unlink(missing_ok=True)


def read_epochs(folder: Path) -> pd.DataFrame:
    """Rows epoch, patient, slide_id, risk of a model's folder; none where none were written."""
    path = folder / FILE
    return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
