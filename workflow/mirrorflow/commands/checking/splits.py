"""Split files that protocols read: whom they name, and who stands on both sides."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mirrorflow.cohorts.meeting import meeting
from mirrorflow.cohorts.splits import as_evaluated, choose_evaluated, evaluated_part
from mirrorflow.commands.checking.folds import one_sided
from mirrorflow.commands.checking.pending import pending
from mirrorflow.config.protocols import GENERATED_SPLITS, REPAIRED, repair_hint
from mirrorflow.errors import MirrorflowError
from mirrorflow.store.tables import read_folds


def split_lines(
    config: Mapping[str, Any], entry: Mapping[str, Any], patients: set[str] | None, frame: pd.DataFrame | None
) -> Iterator[str]:
    """What each folder of split files says of the cohort's patients; frame: who would be in it, where that is known."""
    read = {name: protocol["splits"] for name, protocol in config["protocols"].items()}
    for name in sorted({splits.removesuffix(REPAIRED) for splits in read.values()} - set(GENERATED_SPLITS)):
        try:
            folder = entry["splits"][name]
            if waiting := list(pending(config, [folder])):
                yield from waiting
                continue
            given = read_folds(folder, config["splits"]["folds"])
            folds = [as_evaluated(fold) for fold in choose_evaluated(given, config["splits"]["evaluate"], folder)]
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            continue
        listed = {patient for fold in given for part in fold.parts.values() for patient in part}
        word = "" if patients is None or listed & patients else "PROBLEM: "
        known = "" if patients is None else f", {len(listed & patients)} of them known"
        yield f"{word}splits {name}: {len(folds)} folds name {len(listed)} patients{known}"
        if patients and not listed & patients:
            yield f"splits {name}: {meeting(listed, patients, ('the split files', 'the clinical data'))}"
        elif frame is not None:
            yield from one_sided(folds, frame, f"splits {name}")
        if said := evaluated_part(folds):
            yield f"splits {name}: {said}"
        shared = [len(set(fold.train) & set(fold.val)) for fold in folds]
        stopped = [key for key, splits in read.items() if splits == name and config["protocols"][key]["claims_honest"]]
        if any(shared) and stopped and config["strict"]:
            yield (
                f"PROBLEM: splits {name}: {', '.join(map(str, shared))} patients are in train and val (by fold), so "
                f"{', '.join(stopped)} would be withheld; {repair_hint(name)}"
            )
