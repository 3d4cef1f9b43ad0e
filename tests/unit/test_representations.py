from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.learners.inputs import vectors as representations
from mirrorflow.learners.inputs.vectors import Embedded, NoInputs, PooledInputs
from mirrorflow.store.digest import patients_digest
from mirrorflow.store.embeddings import write_embeddings
from mirrorflow.store.expression import ExpressionWriter, write_sidecar
from mirrorflow.store.tables import write_sheet
from mirrorflow.training.embedding import Embeddings

PATIENTS = ["A", "B", "C", "D"]
SLIDES = {"A": ["a1", "a2"], "B": ["b1"], "C": ["c1"], "D": ["d1"]}
COHORT = pd.DataFrame({"patient": PATIENTS, "slide_ids": [SLIDES[name] for name in PATIENTS]})
FOLD = Fold(("A", "B", "C"), ("D",))


def bag(slide: str) -> np.ndarray:
    return np.random.default_rng(list(slide.encode())).normal(size=(5, 3)).astype(np.float32)


def values() -> np.ndarray:
    """Expression [patient, gene]: the third gene says nothing about the others' order."""
    return np.random.default_rng(0).normal(3, 2, size=(4, 3)).astype(np.float32)


def write_expression(path: Path, table: np.ndarray, **settings: object) -> None:
    with ExpressionWriter(path, PATIENTS) as writer:
        writer.add(["g1", "g2", "g3"], ["G1", "G2", "G3"], table.T.copy())
        writer.finish(settings, {})
    write_sidecar(path)


@pytest.fixture
def folder(tmp_path):
    rows = []
    for patient, slides in SLIDES.items():
        for slide in slides:
            with h5py.File(tmp_path / f"{slide}.h5", "w") as file:
                file["features"] = bag(slide)
            rows.append({"slide_id": slide, "patient": patient, "path": str(tmp_path / f"{slide}.h5")})
    write_sheet(tmp_path / "index.tsv", pd.DataFrame(rows))
    write_expression(tmp_path / "rna.parquet", values())
    write_sheet(tmp_path / "fold0.tsv", pd.DataFrame({"id": ["g3", "g1"], "gene": ["G3", "G1"]}))
    return tmp_path


def pooled(folder: Path, unit: str = "patient", **changes: object) -> PooledInputs:
    settings = {
        "units": to_units(COHORT, unit),
        "inputs": ["slides", "rna"],
        "pooling": "mean",
        "index": str(folder / "index.tsv"),
        "expression": str(folder / "rna.parquet"),
        "genes": [str(folder / "fold0.tsv")],
        "rna_scaling": "train",
        "clip": None,
    }
    return PooledInputs(**(settings | changes))


def vectors(made: PooledInputs, fold: Fold = FOLD) -> tuple[np.ndarray, np.ndarray]:
    units = made.units
    parts = [units[units["patient"].isin(side)] for side in (fold.train, fold.val)]
    both = made.vectors(fold, 0, 42, *parts)
    return both.train[0], both.evaluation[0]


def test_slides_of_a_patient_are_one_bag(folder):
    train, evaluation = vectors(pooled(folder, inputs=["slides"]))
    np.testing.assert_allclose(train[0], np.concatenate([bag("a1"), bag("a2")]).mean(0), atol=1e-6)
    np.testing.assert_allclose(evaluation[0], bag("d1").mean(0), atol=1e-6)


def test_slides_are_bags_of_their_own_when_they_are_the_unit(folder):
    train, _ = vectors(pooled(folder, "slide", inputs=["slides"]))
    np.testing.assert_allclose(train[:2], [bag("a1").mean(0), bag("a2").mean(0)], atol=1e-6)


def test_genes_come_in_the_manifests_order_scaled_by_training_patients(folder):
    train, evaluation = vectors(pooled(folder, inputs=["rna"]))
    wanted = values()[:, [2, 0]]
    mean, deviation = wanted[:3].mean(0), wanted[:3].std(0)
    np.testing.assert_allclose(train, (wanted[:3] - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(evaluation, (wanted[3:] - mean) / deviation, atol=1e-5)


def test_evaluation_expression_does_not_move_the_scale(folder):
    before, _ = vectors(pooled(folder, inputs=["rna"]))
    changed = values()
    changed[3] *= 1000
    write_expression(folder / "rna.parquet", changed)
    after, evaluation = vectors(pooled(folder, inputs=["rna"]))
    np.testing.assert_array_equal(before, after)
    assert np.abs(evaluation).max() > 100


def test_every_training_patient_scales_whatever_the_fold_task(folder):
    made = pooled(folder, inputs=["rna"])
    units = made.units
    alone = made.vectors(FOLD, 0, 42, units[units["patient"] == "A"], units[units["patient"] == "D"])
    train, _ = vectors(made)
    np.testing.assert_array_equal(alone.train[0], train[:1])


def test_unscaled_genes_are_as_they_are_with_missing_ones_zero(folder):
    changed = values()
    changed[0, 0] = np.nan
    write_expression(folder / "rna.parquet", changed)
    train, _ = vectors(pooled(folder, inputs=["rna"], rna_scaling="none"))
    np.testing.assert_allclose(train[0], [changed[0, 2], 0])


def test_each_fold_has_its_own_genes(folder):
    write_sheet(folder / "fold1.tsv", pd.DataFrame({"id": ["g2"], "gene": ["G2"]}))
    made = pooled(folder, inputs=["rna"], genes=[str(folder / "fold0.tsv"), str(folder / "fold1.tsv")])
    units = made.units
    widths = [made.vectors(FOLD, number, 42, units, units).train.shape[-1] for number in (0, 1, 0)]
    assert widths == [2, 1, 2]


def test_slides_and_genes_stand_side_by_side(folder):
    both, _ = vectors(pooled(folder))
    slides, _ = vectors(pooled(folder, inputs=["slides"]))
    genes, _ = vectors(pooled(folder, inputs=["rna"]))
    np.testing.assert_array_equal(both, np.concatenate([slides, genes], axis=1))


def test_files_are_read_once_for_all_fold_tasks(folder, monkeypatch):
    made, reads = pooled(folder), []
    for name in ("read_features", "read_expression"):
        real = getattr(representations, name)
        monkeypatch.setattr(
            representations, name, lambda *a, real=real, name=name, **k: reads.append(name) or real(*a, **k)
        )
    for _ in range(3):
        vectors(made)
    assert sorted(reads) == ["read_expression"] + ["read_features"] * 5


def test_vectors_say_on_whom_the_genes_were_scaled(folder):
    def fitted(**changes: object) -> dict[str, str]:
        made = pooled(folder, **changes)
        return dict(made.vectors(Fold(("C", "A", "ghost"), ("D",)), 0, 42, made.units, made.units).fitted)

    assert fitted() == {"RNA scaler": patients_digest(["A", "C"])}
    assert fitted(rna_scaling="none") == fitted(inputs=["slides"]) == {}


@pytest.mark.parametrize(
    "changes", [{"pooling": "mean_std"}, {"rna_scaling": "none"}, {"clip": 10.0}, {"inputs": ["rna"]}]
)
def test_the_digest_follows_the_settings(folder, changes):
    assert pooled(folder).digest(0) == pooled(folder).digest(0)
    assert pooled(folder, **changes).digest(0) != pooled(folder).digest(0)


@pytest.mark.parametrize("name", ["index.tsv", "fold0.tsv", "rna.parquet.json"])
def test_the_digest_follows_the_files(folder, name):
    before = pooled(folder).digest(0)
    (folder / name).write_text((folder / name).read_text() + " ")
    assert pooled(folder).digest(0) != before


def test_new_features_in_an_old_files_place_are_noticed_and_a_copy_is_not(folder):
    before, seen = pooled(folder).digest(0), pooled(folder).seen(0)
    assert set(seen) == {"features_digest", "expression_digest"}
    path = next(folder.glob("*.h5"))
    path.write_bytes(path.read_bytes())
    assert (pooled(folder).digest(0), pooled(folder).seen(0)) == (before, seen)
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] += 1
    assert pooled(folder).digest(0) != before
    assert pooled(folder).seen(0)["features_digest"] != seen["features_digest"]
    assert pooled(folder).seen(0)["expression_digest"] == seen["expression_digest"]


def test_another_matrix_has_another_digest(folder):
    seen = pooled(folder, inputs=["rna"]).seen(0)
    assert set(seen) == {"expression_digest"}
    write_expression(folder / "rna.parquet", values(), matrix_sha256="another")
    assert pooled(folder, inputs=["rna"]).seen(0) != seen


def test_embeddings_say_what_was_embedded(tmp_path):
    data = {"units": "u", "features": "f", "expression": "of the genes", "matrix": "m"}
    write_embeddings(tmp_path / "fold0.safetensors", embeddings(1, resampled=False), {"data": data})
    made = Embedded({(1, 0): str(tmp_path / "fold0.safetensors")})
    assert made.seen(0) == {"features_digest": "f", "expression_digest": "m"}
    write_embeddings(tmp_path / "fold0.safetensors", embeddings(1, resampled=False), {})
    assert made.seen(0) == {}


def test_methods_without_inputs_need_no_files():
    both = NoInputs().vectors(FOLD, 0, 42, COHORT[:3], COHORT[3:])
    assert both.train.shape == (1, 3, 0)
    assert both.evaluation.shape == (1, 1, 0)
    assert NoInputs().digest(0) == NoInputs().digest(1)


# Embeddings.


def embeddings(draws: int, *, resampled: bool, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    slide, rna, slide_eval, rna_eval = rng.normal(size=(4, draws, 4, 2)).astype(np.float32)
    if not resampled:
        slide_eval, rna_eval = slide, rna
    return Embeddings(("D", "C", "B", "A"), slide, rna, slide_eval, rna_eval)


def test_other_genes_share_the_pooled_slides(folder):
    write_sheet(folder / "few-shot-fold0.tsv", pd.DataFrame({"id": ["g2"], "gene": ["G2"]}))
    made = pooled(folder)
    train, _ = vectors(made)
    other = made.with_genes([str(folder / "few-shot-fold0.tsv")])
    few, _ = vectors(other)
    assert (train.shape[1], few.shape[1]) == (5, 4)
    np.testing.assert_array_equal(few[:, :3], train[:, :3])
    assert made.digest(0) != other.digest(0)
    assert other._pooled is made._pooled


@pytest.mark.parametrize("resampled", [False, True])
def test_embeddings_are_found_by_the_units_name(tmp_path, resampled):
    made = embeddings(2, resampled=resampled)
    write_embeddings(tmp_path / "e", made, {})
    units = to_units(COHORT, "patient")
    both = Embedded({(42, 0): str(tmp_path / "e")}, resampled=resampled).vectors(FOLD, 0, 42, units[:3], units[3:])
    assert both.train.shape == (2, 3, 4)
    np.testing.assert_array_equal(both.train[1, 0], np.concatenate([made.slide[1, 3], made.rna[1, 3]]))
    np.testing.assert_array_equal(both.evaluation[1, 0], np.concatenate([made.slide_eval[1, 0], made.rna_eval[1, 0]]))


def test_each_seed_and_fold_has_its_own_embeddings(tmp_path):
    keys = [(seed, fold) for seed in (1, 2) for fold in (0, 1)]
    for number, key in enumerate(keys):
        write_embeddings(tmp_path / f"{key}", embeddings(1, resampled=False, seed=number), {"key": list(key)})
    made = Embedded({key: str(tmp_path / f"{key}") for key in keys})
    units = to_units(COHORT, "patient")
    for number, (seed, fold) in enumerate(keys):
        expected = embeddings(1, resampled=False, seed=number).slide[0, 3]
        np.testing.assert_array_equal(made.vectors(FOLD, fold, seed, units, units).train[0, 0, :2], expected)
    digests = made.digest(0), made.digest(1)
    assert digests[0] != digests[1]
    write_embeddings(tmp_path / "(2, 1)", embeddings(1, resampled=False), {"key": "other"})
    assert made.digest(0) == digests[0]
    assert made.digest(1) != digests[1]
