"""How the expression matrix of a run's training was read, and where the store has it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.plan.paths import PredictionsPlan
from mirrorflow.plan.records import read_plan
from mirrorflow.plan.store_paths import ExpressionFile
from mirrorflow.reuse.request import Chosen
from mirrorflow.reuse.run_folder import FinishedRun, target_of
from mirrorflow.store.digest import canonical

BARCODE = r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}$"
SETTINGS = ("orientation", "sample_ids", "transform")
"""Settings of an expression source that say how a matrix is read."""


@dataclass(frozen=True)
class TrainingMatrix:
    """settings: how it was read, as far as that is known. source: its name in the config, "" where not known.

    file: where the store has it, if it is there. note: what is worth telling where the run itself does not say.
    """

    settings: Mapping[str, Any]
    source: str = ""
    file: Path | None = None
    note: str = ""


def training_matrix(run: FinishedRun, asked: Chosen) -> TrainingMatrix:
    """What is known of the training matrix: from the plan of the predictions that lies in the run, else from the store.

    Without both, samples are named as the run's patients are: by TCGA's barcodes, or by their names. Raises InputError
    where the run has no plan and the store has matrices of other settings under the cohort's name.
    """
    files = list(_files(run, asked))
    for place in run.manifests:
        if (place.protocol, place.cohort) != (asked.protocol, asked.cohort):
            continue
        names = (place.protocol, place.cohort, place.encoder, place.method)
        plan = read_plan(PredictionsPlan(str(run.folder), *names).path) or {}
        if "rna" in plan:
            source = str(plan.get("cohort", {}).get("expression", ""))
            mine = [path for path in files if path.parent.name == source]
            return TrainingMatrix(_read(plan["rna"]), source, mine[0] if mine else None)
    return _of_store(run, asked, files)


def _of_store(run: FinishedRun, asked: Chosen, files: list[Path]) -> TrainingMatrix:
    records = {path: path.with_name(f"{path.name}.json") for path in files}
    found = {
        path: _read(json.loads(record.read_text(encoding="utf-8"))["settings"])
        for path, record in records.items()
        if record.exists()
    }
    if len({canonical(one) for one in found.values()}) > 1:
        said = "; ".join(f"{path}: {canonical(one)}" for path, one in found.items())
        message = (
            f"{run.folder}: does not say which matrix it was trained on, and the store has several that were read in "
            f"other ways ({said}); run snakemake again, so that the run says it, or move the others away"
        )
        raise InputError(message)
    if found:
        path, settings = next(iter(found.items()))
        only = path if len(found) == 1 else None
        note = f"How the training matrix was read is taken from the store ({path}): the run does not say it."
        return TrainingMatrix(settings, path.parent.name if only else "", only, note)
    barcodes = run.cohort(asked.cohort)[0]["patient"].str.match(BARCODE).all()
    settings = {"sample_ids": "tcga" if barcodes else "patient"}
    note = (
        "How the training matrix was read is not known: neither the run nor a store says it. The expression sheet is "
        f"read with sample ids of kind {settings['sample_ids']} and without a transform."
    )
    return TrainingMatrix(settings, note=note)


def _read(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: settings[key] for key in SETTINGS if key in settings}


def _files(run: FinishedRun, asked: Chosen) -> Iterator[Path]:
    """The cohort's matrices in stores that the run may have used, each once.

    A store lies below a folder above the run; only one that is not there is looked for in the folder one stands in.
    """
    index = run.features(asked.cohort, asked.encoder)
    stores = {"store"} | (set() if index is None else {path.split("/features/")[0] for path in index["path"]})
    seen = set()
    for store in sorted(stores):
        places = (above / store for above in [*run.folder.resolve().parents, Path()])
        for path in next(filter(None, (_matrices(place, asked) for place in places)), []):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _matrices(store: Path, asked: Chosen) -> list[Path]:
    pattern = ExpressionFile(str(store), "*", target_of(asked.cohort)).path
    return sorted(pattern.parent.parent.glob(f"*/{pattern.name}"))
