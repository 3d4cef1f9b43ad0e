"""Folds that share a GPU, and a fold on several devices: processes of their own, the same files."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.learners.pretrained import Machine
from mirrorflow.steps.training.pretrain_mirror import FoldFiles, pretrain_folds
from mirrorflow.store.digest import names_digest
from mirrorflow.training.advice import out_of_memory
from mirrorflow.training.compute import ComputeSettings
from mirrorflow.training.settings import PretrainSettings
from pretraining_cohort import PATIENTS, SETTINGS, TRAIN, Cohort, losses


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    return Cohort(tmp_path)


def fold_files(cohort: Cohort, fold: int, where: Path, train=TRAIN) -> FoldFiles:
    split = cohort.folder / f"splits_{fold}.csv"
    held_out = [patient for patient in PATIENTS if patient not in train]
    pd.DataFrame({"train": pd.Series(list(train)), "val": pd.Series(held_out)}).to_csv(split, index=False)
    return FoldFiles(fold, split, cohort.folder / "genes.tsv", where / f"fold{fold}" / "done.json")


def pretrain(cohort: Cohort, folds: list[FoldFiles], **changes) -> None:
    settings = SETTINGS | {"dropout": 0.0} | changes.pop("settings", {})
    machine = Machine(changes.pop("threads", 1), "cpu", changes.pop("compute", {}))
    pretrain_folds(cohort.task(settings=settings, rna_clip=None), folds, machine, **changes)


def test_folds_side_by_side_leave_what_each_alone_leaves_and_failures_are_named(cohort, tmp_path):
    fine, broken = (fold_files(cohort, fold, tmp_path / "together") for fold in (0, 1))
    with pytest.raises(MirrorflowError, match=r"^fold 1 failed"):
        pretrain(cohort, [fine, broken._replace(genes=tmp_path / "nowhere.tsv")], share=2)
    alone = fine._replace(record=tmp_path / "alone" / "done.json")
    pretrain(cohort, [alone])
    assert losses(fine.record.parent).equals(losses(alone.record.parent))
    assert fine.record.exists()
    assert not broken.record.exists()


@pytest.mark.slow
def test_one_fold_on_two_devices_has_the_losses_of_one(cohort, tmp_path):
    one, two = (fold_files(cohort, 0, tmp_path / name) for name in ("one", "two"))
    pretrain(cohort, [one])
    pretrain(cohort, [two], compute={"devices": 2}, threads=2)
    first, second = losses(one.record.parent), losses(two.record.parent)
    pd.testing.assert_frame_equal(first, second, rtol=1e-3)


def test_the_best_epoch_is_chosen_on_the_folds_own_evaluation_patients(cohort, tmp_path):
    """Patients in neither part, as those an inner fold may not see, take no part in it."""
    files = fold_files(cohort, 0, tmp_path, train=TRAIN[:6])
    split = pd.read_csv(files.split)
    split["val"] = pd.Series(PATIENTS[9:])
    split.to_csv(files.split, index=False)
    pretrain(cohort, [files], epoch="best_on_evaluation")
    made_with = json.loads((files.record.parent / "config.json").read_text())
    assert made_with["epoch_chosen_on"]["units"] == names_digest(PATIENTS[9:])
    assert made_with["data"]["units"] == names_digest(TRAIN[:6])
    pretrain(cohort, [files])
    assert "epoch_chosen_on" not in json.loads((files.record.parent / "config.json").read_text())


def test_the_record_tells_another_model_from_the_same(cohort, tmp_path):
    """What is made with it is asked by the record's bytes whether it runs again."""
    files = fold_files(cohort, 0, tmp_path)
    records = []
    for epochs in (1, 1, 2):
        pretrain(cohort, [files], settings={"epochs": epochs})
        records.append(files.record.read_bytes())
    assert records[0] == records[1] != records[2]


def test_how_it_is_laid_out_makes_no_other_model(cohort, tmp_path, monkeypatch):
    files = fold_files(cohort, 0, tmp_path)
    pretrain(cohort, [files])
    monkeypatch.setattr("mirrorflow.learners.pretrained.pretrain", lambda *_, **__: pytest.fail("trained again"))
    pretrain(cohort, [files], compute={"micro_batch": 2, "activation_checkpointing": True})


def test_a_full_gpu_says_what_to_set():
    settings = PretrainSettings(batch_size=16)
    said = out_of_memory(settings, ComputeSettings())
    assert "16 units of 2048 tokens" in said
    assert "activation_checkpointing: true" in said
    assert "micro_batch: 8" in said
    said = out_of_memory(settings, ComputeSettings(micro_batch=4, activation_checkpointing=True))
    assert "micro_batch: 2" in said
    assert "activation_checkpointing" not in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batch": 0}, "micro_batch is 0"),
        ({"devices": 0}, "devices is 0"),
        ({"compile": True, "micro_batch": 4}, "drop one"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        ComputeSettings(**changes)
