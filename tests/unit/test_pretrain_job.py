import json

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.learners import pretrained as job
from mirrorflow.store.bags import FeatureBags, features_fingerprint
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.kept import BAGS
from mirrorflow.store.models import load_model
from pretraining_cohort import CPU, PATIENTS, SETTINGS, TRAIN, Cohort, losses


@pytest.fixture(autouse=True)
def _every_epoch_is_kept(monkeypatch):
    """As after five seconds each."""
    monkeypatch.setattr("mirrorflow.training.keeping.EVERY_S", 0.0)


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    return Cohort(tmp_path)


def test_a_fold_is_trained_saved_and_kept(cohort, tmp_path, monkeypatch):
    folder = tmp_path / "fold0"
    cohort.pretrain(folder)
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["config.json", "history.csv", "model.safetensors", "retrieval.json"]
    assert len(losses(folder)) == 3
    assert load_model(folder).network.patch_sd.std() > 0
    assert json.loads((folder / "retrieval.json").read_text())["gallery"] == 3

    monkeypatch.setattr(job, "pretrain", lambda *_, **__: pytest.fail("trained again"))
    cohort.pretrain(folder)


def test_other_settings_or_inputs_train_again(cohort, tmp_path):
    folder = tmp_path / "fold0"
    cohort.pretrain(folder)
    cohort.pretrain(folder, epochs=2)
    assert len(losses(folder)) == 2
    before = losses(folder)
    cohort.write_genes(np.ones((7, len(PATIENTS)), np.float32))
    cohort.pretrain(folder, epochs=2)
    assert not losses(folder).equals(before)


def test_a_slide_that_changes_its_patient_trains_and_embeds_again(cohort, tmp_path):
    folder = tmp_path / "fold0"
    cohort.pretrain(folder)
    before = losses(folder), read_embeddings(cohort.embed(folder, draws=2, mode="frozen")).slide
    cohort.units["slide_ids"] = [["TCGA-00-A"], ["TCGA-00-B", "TCGA-01-A"], *cohort.units["slide_ids"].tolist()[2:]]
    cohort.pretrain(folder)
    cohort.pretrain(tmp_path / "fresh")
    assert losses(folder).equals(losses(tmp_path / "fresh"))
    assert not losses(folder).equals(before[0])
    after = read_embeddings(cohort.embed(folder, draws=2, mode="frozen")).slide
    assert np.array_equal(after, read_embeddings(cohort.embed(tmp_path / "fresh", draws=2, mode="frozen")).slide)


def test_models_and_embeddings_of_before_slides_were_told_apart_are_kept(cohort, tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("mirrorflow.learners.inputs.paired.slides_digest", lambda files: {})
        cohort.pretrain(tmp_path / "fold0")
        path = cohort.embed(tmp_path / "fold0", draws=2, mode="frozen")
    ages = [one.stat().st_mtime_ns for one in (path, tmp_path / "fold0" / "model.safetensors")]
    cohort.pretrain(tmp_path / "fold0")
    cohort.embed(tmp_path / "fold0", draws=2, mode="frozen")
    assert [one.stat().st_mtime_ns for one in (path, tmp_path / "fold0" / "model.safetensors")] == ages


class KilledError(Exception):
    """Stands for a kill after some epochs."""


def interrupt_after(epochs: int, monkeypatch) -> None:
    whole = job.save_checkpoint

    def save(folder, state, made_with):
        whole(folder, state, made_with)
        if state.epoch == epochs:
            raise KilledError

    monkeypatch.setattr(job, "save_checkpoint", save)


def test_an_interrupted_fold_goes_on_where_it_stopped(cohort, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    cohort.pretrain(whole)
    with monkeypatch.context() as patched:
        interrupt_after(2, patched)
        with pytest.raises(KilledError):
            cohort.pretrain(broken)
    assert (broken / "checkpoint.pt").exists()
    cohort.pretrain(broken)
    assert losses(broken).equals(losses(whole))
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not (broken / "checkpoint.pt").exists()


def test_an_interrupted_fold_remembers_the_best_epoch_on_evaluation_units(cohort, tmp_path, monkeypatch):
    whole, broken, last = (tmp_path / name for name in ("whole", "broken", "last"))
    rule = {"chosen_on": PATIENTS[9:], "learning_rate": 0.05, "epochs": 5}
    cohort.pretrain(whole, **rule)
    with monkeypatch.context() as patched:
        interrupt_after(4, patched)
        with pytest.raises(KilledError):
            cohort.pretrain(broken, **rule)
    cohort.pretrain(broken, **rule)
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    history = pd.read_csv(whole / "history.csv")
    assert history["evaluation_total"].idxmin() < 4
    assert set(load_model(whole).made_with["epoch_chosen_on"]) == {"units", "features", "expression", "genes"}

    cohort.pretrain(last, **(rule | {"chosen_on": ()}))
    assert losses(last).equals(losses(whole))
    assert (last / "model.safetensors").read_bytes() != (whole / "model.safetensors").read_bytes()
    assert "evaluation_total" not in pd.read_csv(last / "history.csv")


def test_beside_a_checkpoint_of_other_settings_a_training_starts_anew(cohort, tmp_path, monkeypatch):
    cohort.pretrain(tmp_path / "fresh", batch_size=3)
    with monkeypatch.context() as patched:
        interrupt_after(1, patched)
        with pytest.raises(KilledError):
            cohort.pretrain(tmp_path / "fold0")
    cohort.pretrain(tmp_path / "fold0", batch_size=3)
    assert losses(tmp_path / "fold0").equals(losses(tmp_path / "fresh"))
    assert not list((tmp_path / "fold0").glob("checkpoint*"))


def test_embeddings_hold_every_unit_and_are_kept(cohort, tmp_path, monkeypatch):
    folder = tmp_path / "fold0"
    cohort.pretrain(folder)
    path = cohort.embed(folder, draws=2, mode="frozen")
    embeddings = read_embeddings(path)
    assert embeddings.units == tuple(PATIENTS)
    assert embeddings.slide.shape == embeddings.rna.shape == (1, 12, 48)
    monkeypatch.setattr("mirrorflow.steps.training.embed.embed", lambda *_, **__: pytest.fail("embedded again"))
    cohort.embed(folder, draws=2, mode="frozen")


def test_tangle_goes_through_the_same_job(cohort, tmp_path):
    settings = {key: SETTINGS[key] for key in ("width", "tokens", "epochs", "batch_size", "learning_rate", "precision")}
    job.pretrain_fold(cohort.task(settings=settings, family="tangle", rna_clip=None), tmp_path / "fold0", CPU)
    assert type(load_model(tmp_path / "fold0").network).__name__ == "Tangle"
    assert json.loads((tmp_path / "fold0/retrieval.json").read_text())["gallery"] == 3
    embeddings = read_embeddings(cohort.embed(tmp_path / "fold0", draws=2, mode="resampled_dropout"))
    assert embeddings.slide.shape == embeddings.rna_eval.shape == (2, 12, 48)


def test_embedding_refuses_other_genes_than_the_models(cohort, tmp_path):
    cohort.pretrain(tmp_path / "fold0")
    cohort.write_genes(np.ones((6, len(PATIENTS)), np.float32))
    with pytest.raises(InputError, match="not the genes"):
        cohort.embed(tmp_path / "fold0")


def test_folds_have_seeds_of_their_own(cohort, tmp_path):
    for fold in (0, 1):
        cohort.pretrain(tmp_path / str(fold), fold=fold)
    assert not losses(tmp_path / "0").equals(losses(tmp_path / "1"))


def test_an_unknown_key_is_named_with_the_closest_one(cohort, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 'epoch' \(value 3\); did you mean epochs"):
        cohort.pretrain(tmp_path / "fold0", epoch=3)


def test_units_that_cannot_be_used_are_named(cohort, tmp_path):
    with pytest.raises(InputError, match="1 training units are not in the cohort"):
        cohort.pretrain(tmp_path / "fold0", train=[*TRAIN, "TCGA-99"])
    cohort.units["slide_ids"] = [["lost"] if patient == "TCGA-03" else [f"{patient}-A"] for patient in PATIENTS]
    with pytest.raises(InputError, match=r"TCGA-03: none of its slides \(lost\) has features"):
        cohort.pretrain(tmp_path / "fold0")


def test_a_patients_slides_are_one_bag(cohort):
    files = [[cohort.folder / f"{PATIENTS[0]}-{slide}.h5" for slide in "AB"], [cohort.folder / f"{PATIENTS[1]}-A.h5"]]
    for cache_gb in (0.0, 1.0):
        bags = FeatureBags(files, cache_gb)
        assert [bags[i].shape for i in (0, 1, 0)] == [(16, 5), (8, 5), (16, 5)]
    assert FeatureBags(files, 1.0)[0].dtype == np.float32


def test_the_cache_stays_under_its_limit(cohort):
    """Only what cannot be mapped is kept: here, compressed files."""
    for patient in PATIENTS:
        with h5py.File(cohort.folder / f"{patient}-A.h5", "a") as file:
            values = file["features"][:]
            del file["features"]
            file.create_dataset("features", data=values, compression="gzip")
    bags = FeatureBags([[cohort.folder / f"{patient}-A.h5"] for patient in PATIENTS], 400e-9)
    assert all(bags.rows(i, np.array([7, 0])).shape == (2, 5) for i in range(12))
    kept = [BAGS.get(key, 0) for key in bags._keys.values()]
    assert sum(bag is not None for bag in kept) == 2


def test_features_of_two_encoders_are_refused(cohort):
    odd = cohort.folder / "odd.h5"
    with h5py.File(odd, "w") as file:
        file["features"] = np.ones((2, 9), np.float32)
    bags = FeatureBags([[cohort.folder / f"{PATIENTS[2]}-A.h5"], [odd]], 0.0)
    assert bags[0].shape == (8, 5)
    with pytest.raises(InputError, match=r"odd\.h5: features are 9 wide, those of .*02-A\.h5 are 5"):
        bags[1]


def test_a_unit_without_slides_is_refused_by_name():
    with pytest.raises(InputError, match="TCGA-07: no slide with features"):
        FeatureBags([[]], 0.0, ["TCGA-07"])[0]


def test_the_fingerprint_follows_content_not_dates(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"features")
    second.write_bytes(b"features")
    assert features_fingerprint([first]) == features_fingerprint([second])
    second.write_bytes(b"other")
    assert features_fingerprint([first]) != features_fingerprint([second])
    with pytest.raises(InputError, match="not there"):
        features_fingerprint([tmp_path / "c"])


@pytest.mark.parametrize("size", [1_000, 200_000, 390_000])
def test_the_fingerprint_follows_every_byte_of_a_small_file(tmp_path, size):
    path = tmp_path / "a"
    content = bytearray(size)
    path.write_bytes(content)
    before = features_fingerprint([path])
    for place in range(0, size, 7_919):
        content[place] = 1
        path.write_bytes(content)
        assert features_fingerprint([path]) != before, f"byte {place}"
        content[place] = 0
