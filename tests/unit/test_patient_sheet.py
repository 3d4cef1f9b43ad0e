"""The sheet of every patient's predictions: means, groups of risk, pictures; what is unknown stays empty."""

from pathlib import Path

import pandas as pd
import pytest

from labelled_cohort import Store
from mirrorflow.figures.kaplan_meier import split_by_risk
from mirrorflow.learners.inputs.vectors import NoInputs
from mirrorflow.steps.results.patient_sheet import COLUMNS, patient_sheet, thumbnails
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("patients"))
    for method, tasks in {"majority": ["subtyping", "survival"], "cox": ["survival"]}.items():
        plan = made.plan("majority", shots=[2], seeds=[1, 2], tasks=tasks)
        made.predict(plan, NoInputs(), f"results/predictions/honest/c/none/{method}")
    return made


def sheet(
    store: Store, *methods: str, shown: tuple[str, ...] = ("honest",), ledgers: tuple[Path, ...] = ()
) -> pd.DataFrame:
    manifests = [store.folder / f"results/predictions/honest/c/none/{name}/manifest.json" for name in methods]
    return patient_sheet(manifests, store.folder / "cohort.parquet", shown, ledgers)


def test_a_row_a_patient_with_both_tasks(store: Store) -> None:
    found = sheet(store, "majority", "cox")
    assert list(found) == COLUMNS
    mine = found[found["method"] == "majority"]
    assert sorted(mine["patient"]) == sorted(store.frame["patient"])  # two seeds, two-shot settings: a row all the same
    label = dict(zip(store.frame["patient"], store.frame["label"], strict=True))
    assert mine["label"].tolist() == [label[name] for name in mine["patient"]]
    assert mine["predicted"].isin(["a", "b", "c"]).all()
    assert (mine["probability"] > 0.333).all()
    assert found.loc[found["method"] == "cox", "predicted"].isna().all()
    manifest = read_manifest(store.folder / "results/predictions/honest/c/none/majority/manifest.json")
    people = read_cohort(store.folder / "cohort.parquet")[0]
    rows = pd.concat([one.rows for one in read_task(manifest, "survival", people)])
    groups = split_by_risk(rows[rows["setting"] == "all"]).set_index("patient")["group"]
    assert mine.set_index("patient")["risk_group"].to_dict() == groups.to_dict()


def test_what_is_withheld_has_no_row(store: Store) -> None:
    assert sheet(store, "majority", shown=("paper",)).empty


def test_pictures_are_those_of_the_first_slide_that_has_one(store: Store, tmp_path: Path) -> None:
    overlays = tmp_path / "slides" / "c" / "256px-20x" / "overlays"
    overlays.mkdir(parents=True)
    for slide in ("P00-2", "P01-1"):
        (overlays / f"{slide}.jpg").touch()
    people = read_cohort(store.folder / "cohort.parquet")[0]
    ledger = overlays.parent / "ledger.tsv"
    assert thumbnails(people, [ledger]) == {
        name: str(overlays / f"{name}-{end}.jpg") for name, end in (("P00", 2), ("P01", 1))
    }
    found = sheet(store, "majority", ledgers=(ledger,)).set_index("patient")["thumbnail"]
    assert found["P00"].endswith("P00-2.jpg")
    assert found["P05"] == ""
