"""How the features of a run's training slides were made, as most of them: a slide may have settings of its own."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.plan.paths import PredictionsPlan
from mirrorflow.plan.records import read_plan
from mirrorflow.reuse.request import Chosen
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.store.digest import canonical
from mirrorflow.store.features import stored_settings

MOST_FILES = 99
"""Files that are looked at, in even steps."""
SHARED = ("patch", "segmentation", "scale")
"""Settings of patches that new slides take over."""


@dataclass(frozen=True)
class TrainingSlides:
    """index: the features' files, a file of the most frequent settings first. settings: its own; empty where they say
    none. alike, of: how many of the files looked at have these settings."""

    index: pd.DataFrame
    settings: dict[str, Any]
    alike: int
    of: int

    @property
    def note(self) -> str:
        """What is worth telling of new slides' masks; empty where all training slides have one kind of settings."""
        if self.alike == self.of:
            return ""
        return (
            f"Tissue of new slides is found as on {self.alike} of {self.of} training slides that were looked at; the "
            "others have settings of their own."
        )


def training_slides(index: pd.DataFrame) -> TrainingSlides:
    """Which settings most of the files of an index (column ``path``) that are there have."""
    used = index["status"] == "ok" if "status" in index else pd.Series(data=True, index=index.index)
    rows = enumerate(zip(index["path"], used, strict=True))
    there = [row for row, (path, good) in rows if good and Path(path).exists()]
    if not there:
        return TrainingSlides(index, {}, 0, 0)
    steps = np.unique(np.linspace(0, len(there) - 1, min(len(there), MOST_FILES)).round().astype(int))
    looked = [there[step] for step in steps]
    texts = {row: stored_settings(index["path"].iloc[row])[0] for row in looked}
    kinds = {row: _kind(text) for row, text in texts.items()}
    kind, count = Counter(kinds.values()).most_common(1)[0]
    first = next(row for row in looked if kinds[row] == kind)
    order = [first, *(row for row in range(len(index)) if row != first)]
    settings = json.loads(texts[first]) if texts[first] else {}
    return TrainingSlides(index.iloc[order], settings, count, len(looked))


def extraction_settings(run: FinishedRun, asked: Chosen) -> dict[str, Any]:
    """``max_unreadable`` and ``batch_size`` of the run, from the plan beside the predictions of a method that sees
    slides; empty for a run of before it was noted there.
    """
    where = (asked.protocol, asked.cohort, asked.encoder)
    for place in run.manifests:
        if (place.protocol, place.cohort, place.encoder) == where:
            path = PredictionsPlan(str(run.folder), *where, place.method).path
            if noted := (read_plan(path) or {}).get("features"):
                return dict(noted)
    return {}


def _kind(text: str) -> str:
    patches = json.loads(text)["patches"] if text else {}
    return canonical({key: patches.get(key) for key in SHARED})
