"""Embeddings of all folds in one job: side by side on a CPU, each as alone."""

import json
from pathlib import Path

import h5py
import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.runtime.job import Job
from mirrorflow.steps.training import embed as step
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.tables import write_cohort
from pretraining_cohort import PATIENTS, Cohort

FOLDS = [0, 1, 2]
SETTINGS = {"draws": 2, "mode": "resampled_dropout"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort of which three folds are pretrained; features of one slide are compressed, so that no map reads them."""
    folder = tmp_path_factory.mktemp("cohort")
    made = Cohort(folder)
    for fold in FOLDS:
        made.pretrain(folder / f"models/fold{fold}", fold=fold, train=PATIENTS[fold : fold + 9])
        (folder / f"models/fold{fold}/done.json").write_text("{}")
    with h5py.File(folder / "TCGA-05-A.h5", "r+") as file:
        values = file["features"][:]
        del file["features"]
        file.create_dataset("features", data=values, compression="gzip")
    outcomes = pd.DataFrame({"label": "a", "time_days": 10.0, "event": 1.0, "site": ""}, index=range(len(PATIENTS)))
    frame = pd.concat([made.units[["patient", "slide_ids"]], outcomes], axis=1)
    write_cohort(folder / "cohort.parquet", frame, ["a"])
    return made


def embedded(cohort: Cohort, results: Path, threads: int, folds: list[int] | None = None) -> Path:
    folder, numbers = cohort.folder, FOLDS if folds is None else folds
    record = EmbeddingsRecord(str(results), "scope", "c", "e", "mirror", 1, "resampled_dropout", "").path
    step.run(
        step.Inputs(
            folder / "cohort.parquet",
            cohort.index,
            folder / "expression.parquet",
            [folder / "genes.tsv"] * len(numbers),
            [folder / f"models/fold{fold}/done.json" for fold in numbers],
        ),
        step.Outputs(record),
        step.Params(1, numbers, "patient", SETTINGS),
        Job("embed", threads),
    )
    return record


def test_folds_side_by_side_are_those_of_each_alone(cohort: Cohort, tmp_path: Path) -> None:
    records = [embedded(cohort, tmp_path / f"{threads}/results", threads) for threads in (1, 2)]
    for fold in FOLDS:
        alone, beside = ((record.parent / f"fold{fold}.safetensors").read_bytes() for record in records)
        assert alone == beside
    assert read_embeddings(records[0].parent / "fold0.safetensors").slide.shape[:2] == (2, len(PATIENTS))
    alone, beside = (json.loads(record.read_text()) for record in records)
    assert alone["digests"] == beside["digests"]
    assert len(set(alone["digests"])) == len(FOLDS), "each is of its own model"


def test_a_fold_that_fails_is_named_and_the_others_are_kept(cohort: Cohort, tmp_path: Path) -> None:
    (cohort.folder / "models/fold7").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"fold 7: .*no finished model there"):
        embedded(cohort, tmp_path / "results", 2, folds=[0, 7])
    (made,) = (tmp_path / "results").rglob("fold*.safetensors")
    assert made.name == "fold0.safetensors"
    assert not list((tmp_path / "results").rglob("done.json"))
