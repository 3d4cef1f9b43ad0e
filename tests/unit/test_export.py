"""Exports of a finished run: ids beside values, models that load where they are exported to, refusals."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finished_run import finished_run
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.learners.saved import load_trained
from mirrorflow.plan.paths import SplitFile
from mirrorflow.reuse.export import export
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.store.digest import digest, names_digest
from mirrorflow.store.embeddings import write_embeddings
from mirrorflow.store.model_files import write_model
from mirrorflow.store.tables import write_cohort, write_fold, write_sheet
from mirrorflow.training.embedding import Embeddings

METHODS = ("majority", "linear", "cox")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    made, store = finished_run(tmp_path_factory.mktemp("run"), METHODS)
    units = tuple(store.frame["patient"])
    vectors = np.arange(2 * len(units) * 3, dtype=np.float32).reshape(2, len(units), 3)
    place = "patient-random-fold-train/brca/embeddings/uni/mirror/seed42/frozen/fold0.safetensors"
    write_embeddings(made.folder / place, Embeddings(units, vectors, vectors, vectors, vectors), {})
    return made


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_predictions_have_ids_outcomes_and_every_row(run: FinishedRun, to: str, tmp_path: Path) -> None:
    subtyping, survival = export(run, "predictions", to, tmp_path)
    read = pd.read_parquet if to == "parquet" else pd.read_csv
    table = read(subtyping)
    assert subtyping.name == f"predictions-brca-subtyping.{to}"
    assert table.columns[:4].tolist() == ["protocol", "cohort", "encoder", "method"]
    assert len(table) == 30 * 2  # every patient once, by two methods
    assert set(read(survival)["method"]) == set(METHODS)


def test_embeddings_have_the_units_patient_label_and_side_of_the_fold(run: FinishedRun, tmp_path: Path) -> None:
    (path,) = export(run, "embeddings", "csv", tmp_path)
    table = pd.read_csv(path).set_index("unit")
    assert table.loc["P01", ["patient", "label", "side", "method"]].tolist() == ["P01", "b", "val", "mirror"]
    assert table.loc["P00", "side"] == "train"
    assert table.loc["P01", ["slide_0", "rna_2"]].tolist() == [(3 + 93) / 2, (5 + 95) / 2]  # the mean of two draws


def test_embeddings_of_an_earlier_config_are_left_out(
    run: FinishedRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Folds were drawn anew, and the variant is in the config no more: who is evaluated now was in its training."""
    copy = FinishedRun(shutil.copytree(run.folder, tmp_path / "copy"))
    scope, units = "patient-random-fold-train", tuple(copy.cohort("brca")[0]["patient"])
    (trained, left_out) = (copy.fold(scope, "brca", k).train for k in (0, 1))
    vectors = np.zeros((1, len(units), 3), np.float32)
    for method, training in (("mirror", trained), ("mirror--old", left_out)):
        made_with = {"data": {"units": names_digest([name for name in units if name in training])}}
        model = copy.folder / scope / f"brca/models/uni/{method}/seed42/fold0"
        write_model(model, {"w": vectors}, made_with, {"digest": digest(made_with), **made_with}, [])
        place = copy.folder / scope / f"brca/embeddings/uni/{method}/seed42/frozen/fold0.safetensors"
        write_embeddings(place, Embeddings(units, *[vectors] * 4), {"model": digest(made_with)})
    other = copy.folder / scope / "brca/embeddings/uni/mirror/seed42/resampled_dropout/fold0.safetensors"
    write_embeddings(other, Embeddings(units, *[vectors] * 4), {"model": "another"})
    write_sheet(copy.folder / scope / "brca/splits/summary.tsv", pd.DataFrame({"fold": [0], "train": [1]}))
    write_embeddings(other.with_name("fold1.safetensors"), Embeddings(units, *[vectors] * 4), {"model": None})
    (path,) = export(copy, "embeddings", "csv", tmp_path / "out")
    assert "the run has no fold 1 now" in caplog.text
    assert "-mirror-frozen-" in path.name
    assert "mirror--old/seed42/fold0 was trained on others than the training part of" in caplog.text
    assert "they are of another model than" in caplog.text


@pytest.mark.parametrize(
    ("unit", "owners"),
    [("patient", {"P1": "P1", "P2": "P2", "P3": "P3"}), ("slide", {"P1": "P1", "P2": "P3", "P3": "P3"})],
)
def test_slides_may_be_named_as_patients_and_patients_have_none(
    unit: str, owners: dict[str, str], tmp_path: Path
) -> None:
    slides = {"P1": ["P1"], "P2": [], "P3": ["P2"], "P4": []}
    frame = pd.DataFrame({"patient": list(slides), "label": ["a", "b", "a", "b"], "slide_ids": list(slides.values())})
    frame = frame.assign(time_days=1.0, event=1.0, site="")
    write_cohort(tmp_path / "cohort/brca.parquet", frame, ["a", "b"])
    scope = f"{unit}-random-fold-train"
    split = SplitFile(str(tmp_path), scope, "brca", "", 0).path
    write_fold(split, Fold(("P1", "P4"), ("P2", "P3")))
    vectors = np.zeros((1, 3, 2), np.float32)
    place = tmp_path / scope / "brca/embeddings/uni/mirror/seed42/frozen/fold0.safetensors"
    write_embeddings(place, Embeddings(tuple(owners), vectors, vectors, vectors, vectors), {})
    (path,) = export(FinishedRun(tmp_path), "embeddings", "csv", tmp_path / "out")
    table = pd.read_csv(path).set_index("unit")
    assert table["patient"].to_dict() == owners
    assert table["side"].to_dict() == {name: "train" if owner == "P1" else "val" for name, owner in owners.items()}


def test_exported_models_are_listed_array_by_array_and_load_there(run: FinishedRun, tmp_path: Path) -> None:
    listed, *files = export(run, "models", "csv", tmp_path)
    table = pd.read_csv(listed)
    assert set(table["method"]) == set(METHODS)
    linear = table[(table["method"] == "linear") & (table["task"] == "subtyping") & (table["fold"] == 0)]
    saved = load_trained((tmp_path / linear["file"].iloc[0]).parent)
    assert set(linear["array"]) == set(saved.arrays)
    assert all(path.exists() for path in files)


def test_what_cannot_be_exported_is_refused(run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are embeddings, predictions, models, and the formats parquet, csv"):
        export(run, "slides", "csv", tmp_path)
    with pytest.raises(InputError, match="models are no table of units"):
        export(run, "models", "h5ad", tmp_path)
    with pytest.raises(InputError, match="no embeddings in this run"):
        export(FinishedRun(tmp_path), "embeddings", "csv", tmp_path)
    assert not list(tmp_path.iterdir())


def test_h5ad_without_anndata_says_how_to_get_it(
    run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(InputError, match=r"pip install 'mirrorflow\[h5ad\]'"):
        export(run, "predictions", "h5ad", tmp_path)


def test_h5ad_has_values_ids_and_unique_names(run: FinishedRun, tmp_path: Path) -> None:
    import anndata

    (path,) = export(run, "embeddings", "h5ad", tmp_path)
    found = anndata.read_h5ad(path)
    assert found.shape == (30, 6)
    assert found.obs.loc["P01", "side"] == "val"
    subtyping, _ = export(run, "predictions", "h5ad", tmp_path)
    assert anndata.read_h5ad(subtyping).obs_names.is_unique


def test_methods_that_are_not_asked_are_not_called_unfinished(run: FinishedRun) -> None:
    """Those of other protocols, and of an earlier config, were."""
    (one, *others) = run.manifests
    plans = [place.folder / "plan.json" for place in run.manifests]
    planned = one.folder.parent / "planned/plan.json"
    planned.parent.mkdir()
    for plan in [*plans, planned]:
        plan.write_text("{}")
    try:
        assert others
        assert [name.rpartition("/")[2] for name in run.unfinished()] == ["planned"]
        assert run.of([one.path]).unfinished() == []
        assert [name.rpartition("/")[2] for name in run.of([planned.with_name("manifest.json")]).unfinished()] == [
            "planned"
        ]
    finally:
        for plan in [*plans, planned]:
            plan.unlink()
        planned.parent.rmdir()
