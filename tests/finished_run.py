"""A finished run on disk, made by the learners themselves from a small labelled cohort (``labelled_cohort``)."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import labelled_cohort
from labelled_cohort import CLASSES, Store
from mirrorflow.config.methods import METHODS
from mirrorflow.config.protocols import PROTOCOL_PRESETS, scope_of
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.learners.inputs.site import SiteCodes
from mirrorflow.learners.inputs.vectors import NoInputs, PooledInputs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.store.content import describe_content
from mirrorflow.store.tables import write_cohort, write_sheet

PROTOCOL = PROTOCOL_PRESETS["honest"] | {"splits": "random", "preset": "honest", "claims_honest": True}
ALL = ("majority", "clinical", "site", "linear", "cox", "abmil", "survpath")


def finished_run(
    folder: Path, methods: Sequence[str] = ALL, without: Collection[str] = (), seeds: Sequence[int] = (42,)
) -> tuple[FinishedRun, Store]:
    """Two folds: P00, P02 to P18 against all others; those of ``without`` are in no file of the run.

    Models of fold 0 do not change where some of P20 to P29 are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store, results = Store(folder), folder / "results"
    store.frame = store.frame[~store.frame["patient"].isin(without)].reset_index(drop=True)
    write_cohort(results / "cohort/brca.parquet", store.frame, CLASSES)
    write_cohort(folder / "cohort.parquet", store.frame, CLASSES)
    _write_index(store, results / "features/brca/uni.tsv")
    splits = _write_splits(store, results / scope_of(PROTOCOL) / "brca/splits")
    for method in methods:
        _predict(store, method, splits, results, seeds)
    return FinishedRun(results), store


def _write_index(store: Store, path: Path) -> None:
    slides = store.frame.explode("slide_ids")[["slide_ids", "patient"]]
    rows = slides.rename(columns={"slide_ids": "slide_id"}).reset_index(drop=True)
    files = [store.folder / f"{slide}.h5" for slide in rows["slide_id"]]
    contents = [describe_content(file).digest for file in files]
    write_sheet(
        path, rows.assign(path=list(map(str, files)), status="ok", dim=str(labelled_cohort.WIDTH), content=contents)
    )
    write_sheet(store.folder / "index.tsv", rows.assign(path=list(map(str, files))))


def _write_splits(store: Store, folder: Path) -> list[str]:
    patients = store.frame["patient"].tolist()
    known = [name for name in patients if int(name[1:]) < 20]
    rest = [name for name in patients if int(name[1:]) >= 20]
    even = [name for name in known if int(name[1:]) % 2 == 0]
    odd = [name for name in known if int(name[1:]) % 2]
    paths = []
    for number, (train, val) in enumerate([(even, odd + rest), (odd + rest, even)]):
        paths.append(folder / f"splits_{number}.csv")
        write_sheet(paths[-1], pd.DataFrame({"train": pd.Series(train), "val": pd.Series(val)}))
    return list(map(str, paths))


def _predict(store: Store, method: str, splits: list[str], results: Path, seeds: Sequence[int]) -> None:
    encoder = "none" if method in ("majority", "clinical", "site", "cox") else "uni"
    plan = replace(
        store.plan(method),
        splits=splits, shots=[], protocol=PROTOCOL, seeds=list(seeds), support="",
        saved=ModelPlace(str(results), "brca", encoder, method),
    )  # fmt: skip
    if method == "cox":
        plan = replace(plan, method={**plan.method, "components": 4, "alpha": 1.0}, tasks=["survival"])
    out = results / "predictions/honest/brca" / encoder / method
    predict_method(plan, _inputs(store, method), str(out), str(out / "manifest.json"), method)


def _inputs(store: Store, method: str) -> Any:
    if method == "majority":
        return NoInputs()
    if method == "clinical":
        return ClinicalColumns(store.frame.assign(unit=store.frame["patient"]), ["age", "site"])
    if method == "site":
        return SiteCodes(store.frame.assign(unit=store.frame["patient"]))
    bags = store.inputs()
    if method in ("linear", "cox"):
        seen = ["slides", "rna"] if method == "linear" else ["rna"]
        return PooledInputs(bags.units, seen, "mean", bags.index, bags.expression, bags.genes, "train", None)
    sets = "random" if method == "survpath" else None
    return store.inputs(inputs=METHODS[method].inputs, gene_sets=sets)
