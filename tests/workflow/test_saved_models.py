"""The models of a run from their files: raw features, expression and columns in, the run's predictions out."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.patients import to_units
from mirrorflow.config.protocols import label_scope_of
from mirrorflow.learners.saved import RawUnits, SavedModel, load_trained
from mirrorflow.probes.task import Prediction, SubtypePrediction
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.expression import read_expression
from mirrorflow.store.predictions import Predictions, read_predictions
from mirrorflow.store.tables import read_cohort, read_text_sheet

pytestmark = pytest.mark.workflow
METHODS = {
    "majority", "site", "linear", "rna-linear", "concat-linear", "cox", "clinical", "mirror", "tangle", "abmil",
    "survpath", "tta", "snn", "mmp",
}  # fmt: skip


@pytest.mark.usefixtures("threads_of_a_small_job")
def test_every_method_is_reloaded_and_gives_its_predictions(tiny: Path) -> None:
    reloaded = [check_model(tiny, path, stored) for path, stored in predicted(tiny)]
    assert {(model.config["method"], model.config["task"]) for model in reloaded} == {
        (method, task)
        for method in METHODS
        for task in ("subtyping", "survival")
        if task == "survival" or method not in {"cox", "tta", "snn", "mmp"}
    }
    assert {model.config["kind"] for model in reloaded} == {"classical", "head", "network"}
    assert {model.config["setting"] for model in reloaded} == {"all"}
    labelled = {path.parent for path in (tiny / "results/tiny").glob("*/tiny/models/*/*/*/*/seed*/*/model.safetensors")}
    assert labelled == {model.folder for model in reloaded}


def predicted(run: Path) -> list[tuple[Path, Predictions]]:
    """Folder of each model of a run, with the predictions file that it goes with."""
    pairs = []
    for manifest in sorted((run / "results/tiny/predictions").rglob("manifest.json")):
        content = json.loads(manifest.read_text())
        for name in content["models"]:
            folder = run / name
            task, fold = folder.parents[2].name, folder.name
            stored = read_predictions(manifest.parent / task / f"{fold}.parquet")
            assert folder.is_relative_to(run / "results/tiny" / label_scope_of(stored.notes["protocol"]))
            pairs.append((folder, stored))
    return pairs


def check_model(run: Path, folder: Path, stored: Predictions) -> SavedModel:
    """Predict the rows of all training data again, by nothing but the model's files and raw data."""
    saved = load_trained(folder)
    rows = stored.rows[(stored.rows["setting"] == "all") & (stored.rows["seed"] == saved.config["seed"])]
    raw = raw_units(run, saved, rows, stored.notes["protocol"])
    assert_same(saved.predict(saved.prepare(raw)), rows, str(folder))
    (note,) = [note for note in stored.notes["settings"] if note["setting"] == "all"]
    assert saved.config["trained_on"] == note["trained_on"]
    assert saved.config["epoch"] == note["epoch"]
    if saved.config["kind"] == "head":
        assert saved.source().settings.width == 48
    return saved


def raw_units(run: Path, saved: SavedModel, rows: pd.DataFrame, protocol: dict[str, Any]) -> RawUnits:
    """What lies on the disk of the rows' units."""
    results, inputs = run / "results/tiny", saved.config["inputs"]
    names = rows["patient" if protocol["unit"] == "patient" else "slide_id"].tolist()
    units = units_of(results / "cohort/tiny.parquet", protocol["unit"]).set_index("unit", drop=False).loc[names]
    bags = expression = vectors = None
    if inputs["kind"] == "embedded":
        vectors = embedded(results, saved, names, protocol["probe_features"])
    if "slides" in inputs.get("inputs", ()):
        paths = read_text_sheet(results / "features/tiny/resnet50-random.tsv").set_index("slide_id")["path"]
        bags = FeatureBags([[run / paths[slide] for slide in slides] for slides in units["slide_ids"]], 0)
    if saved.genes:
        path, patients = str(run / "store/expression/tiny/tiny.parquet"), sorted(set(units["patient"]))
        found = read_expression(path, patients=patients, genes=saved.genes)
        row = {patient: number for number, patient in enumerate(found.patients)}
        expression = np.asarray(found.values, np.float32)[[row[patient] for patient in units["patient"]]]
    return RawUnits(units, bags, expression, vectors)


@cache
def units_of(cohort: Path, unit: str) -> pd.DataFrame:
    return to_units(read_cohort(str(cohort))[0], unit)


def embedded(results: Path, saved: SavedModel, names: list[str], mode: str) -> np.ndarray:
    """Vectors [draw, unit, width] of the pretrained model's embeddings."""
    config = saved.config
    folder = results / config["model_scope"] / "tiny/embeddings" / config["encoder"] / config["method"]
    found = read_embeddings(folder / f"seed{config['seed']}" / mode / f"fold{config['fold']}.safetensors")
    rows = [found.units.index(name) for name in names]
    return np.concatenate([found.slide_eval[:, rows], found.rna_eval[:, rows]], axis=2)


def assert_same(prediction: Prediction, rows: pd.DataFrame, where: str) -> None:
    if isinstance(prediction, SubtypePrediction):
        np.testing.assert_array_equal(prediction.probabilities, rows.filter(like="prob_"), err_msg=where)
    else:
        np.testing.assert_array_equal(prediction.risk, rows["risk"], err_msg=where)
        np.testing.assert_array_equal(prediction.survival, rows.filter(like="surv_"), err_msg=where)
