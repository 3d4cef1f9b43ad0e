"""Folds that have a sheet a side, as MMP publishes them: from an address to the run's own split files."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from file_server import FileServer, serving
from mirrorflow.cohorts import endpoint
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.datasets import address_of, fold_files, read_sources
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.plan.cohorts import SplitInputs
from mirrorflow.plan.run import Run
from mirrorflow.steps.cohort.download_dataset import download_dataset
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.store.tables import read_fold, read_folds, read_side_outcomes, read_sides, write_cohort
from small_config import minimal

HEAD = "case_id,slide_id,site,dss_censorship,dss_survival_days,os_censorship,os_survival_days\n"
TRAIN = HEAD + "A,A-1,s1,0.0,100.0,0.0,100.0\nA,A-2,s1,0.0,100.0,0.0,100.0\nB,B-1,s1,1.0,200.0,0.0,200.0\n"
TEST = HEAD + "C,C-1,s2,0.0,300.0,0.0,300.0\nD,D-1,s2,1.0,400.0,1.0,400.0\n"


def written(folder: Path, **sides: str) -> str:
    """Two folds in MMP's layout, the second the other way round; the path with its places."""
    texts = {"train": TRAIN, "test": TEST} | sides
    for fold, names in enumerate((("train", "test"), ("test", "train"))):
        place = folder / f"TCGA_X_overall_survival_k={fold}"
        place.mkdir()
        for name, other in zip(("train", "test"), names, strict=True):
            (place / f"{name}.csv").write_text(texts[other])
    return str(folder / "TCGA_X_overall_survival_k={fold}" / "{part}.csv")


def cohort(folder: Path, **changes: object) -> Path:
    frame = pd.DataFrame(
        {
            "patient": list("ABCD"),
            "label": "",
            "site": ["s1", "s1", "s2", "s2"],
            "time_days": [100.0, 200.0, 300.0, 400.0],
            "event": [1.0, 0.0, 1.0, 0.0],
            endpoint.DAYS: [100.0, 200.0, 300.0, 400.0],
            endpoint.EVENT: [1.0, 1.0, 1.0, 0.0],
            "slide_ids": [[name] for name in "ABCD"],
        }
    ).assign(**changes)
    write_cohort(folder / "cohort.parquet", frame, [], "DSS")
    return folder / "cohort.parquet"


def test_patients_not_slides_are_in_the_folds(tmp_path: Path) -> None:
    assert read_folds(written(tmp_path), 2) == [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def test_censored_is_no_event(tmp_path: Path) -> None:
    files = fold_files(written(tmp_path), 0)
    found = read_side_outcomes(files[0], files[1], "dss").set_index("patient")
    assert found["event"].to_dict() == {"A": 1, "B": 0, "C": 1, "D": 0}
    assert found.loc["B", "time_days"] == 200
    assert read_side_outcomes(files[0], files[1], "os").set_index("patient")["event"].to_dict()["B"] == 1
    assert read_side_outcomes(files[0], files[1], "pfi").empty


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (
            {"train": "slide,dss_censorship\nA-1,0\n"},
            r"train\.csv: no column case_id or patient; .*has slide, dss_cens",
        ),
        ({"test": HEAD + ",x,s,0,1,0,1\n"}, r"test\.csv: no patient in the column case_id"),
    ],
)
def test_a_sheet_without_patients_is_named(tmp_path: Path, sides: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_folds(written(tmp_path, **sides), 2)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("C,C-2,s2,0.0,301.0,0.0,300.0\n", r"slides of C differ in dss_survival_days or dss_censorship"),
        ("E,E-1,s2,2.0,301.0,0.0,300.0\n", r"dss_censorship of E is 2: 1 censored, 0 not"),
    ],
)
def test_outcomes_that_cannot_be_are_named(tmp_path: Path, row: str, said: str) -> None:
    files = fold_files(written(tmp_path, test=TEST + row), 0)
    with pytest.raises(InputError, match=said):
        read_side_outcomes(files[0], files[1], "dss")


def test_a_missing_side_is_named_with_its_path(tmp_path: Path) -> None:
    source = written(tmp_path)
    Path(fold_files(source, 1)[1]).unlink()
    with pytest.raises(InputError, match=r"no .*k=1/test\.csv; set splits\.folds"):
        read_folds(source, 2)


def test_the_runs_own_split_files_are_made_of_them_and_outcomes_held_against_the_cohort(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, own = written(tmp_path), [tmp_path / f"splits_{fold}.csv" for fold in range(2)]
    with caplog.at_level(logging.INFO, "mirrorflow.cohorts.patients"):
        make_splits(cohort(tmp_path), own, tmp_path / "summary.tsv", kind="mmp", folder=source, seed=1)
    assert read_fold(own[1]) == Fold(("C", "D"), ("A", "B"))
    assert "4 patients with an outcome; events in the parts evaluated: 1, 1" in caplog.text
    assert "another in the cohort" not in caplog.text
    make_splits(
        cohort(tmp_path, event=[0.0, 0.0, 1.0, np.nan]), own, tmp_path / "s.tsv", kind="mmp", folder=source, seed=1
    )
    assert "the outcome of 2 of 4 patients is another in the cohort" in caplog.text


def test_ids_of_another_cohort_are_named_by_both_files(tmp_path: Path) -> None:
    source, own = written(tmp_path), [tmp_path / f"splits_{fold}.csv" for fold in range(2)]
    others = cohort(tmp_path, patient=list("WXYZ"))
    with pytest.raises(InputError, match=r"k=0/train\.csv, .*k=0/test\.csv: none of its patients is in the cohort"):
        make_splits(others, own, tmp_path / "summary.tsv", kind="mmp", folder=source, seed=1)


# data sets


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


def config_of(url: str = "") -> dict:
    config = minimal(splits={"folds": 2}, protocols={"honest": {"splits": "mmp"}})
    name = "mmp_folds_brca"
    config["cohorts"]["a"]["splits"] = {"mmp": {"download": name}}
    return resolve(config | ({"downloads": {name: {"url": url}}} if url else {}))


def test_a_data_set_is_fetched_file_by_file_and_read(hub: FileServer, tmp_path: Path) -> None:
    for fold, (train, test) in enumerate(((TRAIN, TEST), (TEST, TRAIN))):
        for part, text in (("train", train), ("test", test)):
            hub.files[f"/mmp/k={fold}/{part}.csv"] = (text + "\n" * 512).encode()
    config = config_of(f"{hub.url}/mmp/k={{fold}}/{{part}}.csv")
    dataset, store = config["downloads"]["mmp_folds_brca"], tmp_path / "store"
    source = config["cohorts"]["a"]["splits"]["mmp"].replace("store", str(store), 1)
    for fold in range(2):
        for path in map(Path, fold_files(source, fold)):
            download_dataset({**dataset, "url": address_of(dataset["url"], path.name)}, path)
    assert read_folds(source, 2) == [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]
    assert len(hub.requests) == 4


def test_the_plan_asks_for_both_sides_of_every_fold() -> None:
    run = Run(config_of())
    inputs = SplitInputs(run)

    class Wildcards:
        cohort, scope = "a", run.scopes[0]

    files = inputs.files(Wildcards())  # type: ignore[arg-type]
    assert [Path(path).name for path in files] == ["train_0.csv", "test_0.csv", "train_1.csv", "test_1.csv"]
    url = read_sources()["mmp_folds_brca"]["url"]
    assert address_of(url, "test_3.csv").endswith("/TCGA_BRCA_overall_survival_k=3/test.csv")
    assert address_of("https://x.example/{file}", "splits_3.csv") == "https://x.example/splits_3.csv"


def test_folds_of_two_sheets_are_no_single_file() -> None:
    config = minimal()
    config["expression"]["sources"]["own"] = {"download": "mmp_folds_kirc"}
    with pytest.raises(ConfigError, match="stands for several files"):
        resolve(config)


@pytest.mark.parametrize("name", ["brca", "blca", "stad", "coadread", "kirc"])
def test_mmps_folds_are_pinned_to_a_commit_and_their_licence_said(name: str) -> None:
    row = read_sources()[f"mmp_folds_{name}"]
    assert "/MMP/main/" not in row["url"]
    assert f"TCGA_{name.upper()}_overall" in row["url"]
    assert row["licence"].startswith("CC BY-NC-SA")


def test_read_sides_takes_each_patient_once(tmp_path: Path) -> None:
    fold = read_sides(*fold_files(written(tmp_path), 0))
    assert fold.train == ("A", "B")
