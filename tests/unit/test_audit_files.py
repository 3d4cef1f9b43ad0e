"""``mirrorflow audit`` on anyone's files, and the split files it repairs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit import audit_splits, leaks
from mirrorflow.cli import main
from mirrorflow.errors import MirrorflowError
from mirrorflow.jobs.audit_files import Given, audit_files
from mirrorflow.splits import Fold, repair_folds
from mirrorflow.store.tables import read_folds, write_fold

CLEAN = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def rcc_like_folds(shared: list[int], count: int = 300) -> list[Fold]:
    """Five folds with the given numbers of patients on both sides and overlapping val parts, as those of RCC."""
    names = [f"TCGA-{i % 40:02}-{i:04}" for i in range(count)]
    folds = []
    for number, extra in enumerate(shared):
        start = number * 60
        val = names[start : start + 60] + [names[(start + 60 + i) % count] for i in range(number + 1)]
        train = [name for name in names if name not in val]
        folds.append(Fold(tuple(train + val[:extra]), tuple(val)))
    return folds


# Split files.


def test_anyones_split_files_can_be_audited(tmp_path, capsys):
    for number, fold in enumerate(rcc_like_folds([15, 10, 3, 10, 13])):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    assert audit_files(Given(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 2: 3 patients are in train and val" in said
    assert "5 folds: 5 leaks" in said


def test_clean_split_files_end_well(tmp_path, capsys):
    for number, fold in enumerate(CLEAN):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    assert audit_files(Given(tmp_path)) == 0
    assert "2 folds: 0 leaks, 0 warnings" in capsys.readouterr().out


def test_an_audit_with_a_patients_sheet_knows_sites_and_classes(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("A", "B"), ("C",)))
    sheet = tmp_path / "patients.tsv"
    sheet.write_text("patient\tsite\tlabel\nA\ts\tx\nB\tt\ty\nC\ts\tx\n")
    assert audit_files(Given(tmp_path, patients=sheet)) == 0
    said = capsys.readouterr().out
    assert "1 of 2 tissue source sites" in said
    assert "val has no patient of class y" in said
    sheet.write_text("case\tsite\nA\ts\n")
    with pytest.raises(MirrorflowError, match="no column `patient`"):
        audit_files(Given(tmp_path, patients=sheet))


def test_a_folder_without_split_files_is_refused(tmp_path):
    with pytest.raises(MirrorflowError, match=r"no splits_<k>\.csv"):
        audit_files(Given(tmp_path))


# Repair.


def test_repaired_folds_keep_every_patient_once():
    folds = rcc_like_folds([15, 10, 3, 10, 13])
    everybody = {name for fold in folds for name in (*fold.train, *fold.val)}
    assert len(leaks(audit_splits(folds, {}, {}))) == 5
    mended = repair_folds(folds)
    assert audit_splits(mended, {}, {}) == []
    for fold in mended:
        assert sorted((*fold.train, *fold.val)) == sorted(everybody)
    evaluated = [name for fold in mended for name in fold.val]
    assert len(evaluated) == len(set(evaluated)) == len(everybody)
    assert all(set(new.val) <= set(old.val) for old, new in zip(folds, mended, strict=True))


def test_whole_folds_are_left_as_they_are_and_nobody_is_moved_to_evaluation():
    assert repair_folds(CLEAN) == CLEAN
    (one,) = repair_folds([Fold(("A", "B", "C"), ("C",))])
    assert one == Fold(("A", "B"), ("C",))


def test_a_patient_of_several_val_parts_goes_to_the_smallest():
    folds = [Fold(("C", "D"), ("A", "B", "X")), Fold(("A", "B"), ("C", "X"))]
    mended = repair_folds(folds)
    assert mended[1].val == ("C", "X")
    assert "X" in mended[0].train


def test_the_command_offers_and_writes_repaired_files(tmp_path, capsys):
    for number, fold in enumerate(rcc_like_folds([15, 10, 3, 10, 13])):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    assert main(["audit", "--splits", str(tmp_path)]) == 1
    assert "--repair OUT" in capsys.readouterr().out
    assert main(["audit", "--splits", str(tmp_path), "--repair", str(tmp_path / "mended")]) == 1
    assert "5 split files, 5 of them changed" in capsys.readouterr().out
    assert main(["audit", "--splits", str(tmp_path / "mended")]) == 0
    assert len(read_folds(tmp_path / "mended", 5)) == 5


# Predictions.


def write_rows(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)


def subtype_rows(fold: int, *patients: str) -> pd.DataFrame:
    rows = pd.DataFrame({"patient": list(patients), "label": "x", "prob_x": 0.75, "prob_y": 0.25})
    return rows.assign(setting="all", seed=0, fold=fold, slide_id="")


def survival_rows(fold: int, *patients: str) -> pd.DataFrame:
    rows = pd.DataFrame({"patient": list(patients), "time_days": 10.0, "event": 1.0, "risk": 0.5})
    return rows.assign(setting="all", seed=0, fold=fold, slide_id="")


def audited(folder: Path, capsys, **given: Path) -> tuple[int, str]:
    status = audit_files(Given(predictions=folder, **given))
    return status, capsys.readouterr().out


def test_sound_predictions_have_no_finding(tmp_path, capsys):
    for number, fold in enumerate(CLEAN):
        write_fold(tmp_path / "splits" / f"splits_{number}.csv", fold)
        place = tmp_path / "p" / "honest" / "c" / "e" / "m"
        write_rows(place / "subtyping" / f"fold{number}.parquet", subtype_rows(number, *fold.val))
        write_rows(place / "survival" / f"fold{number}.parquet", survival_rows(number, *fold.val))
    status, said = audited(tmp_path / "p", capsys, splits=tmp_path / "splits")
    assert (status, said) == (0, "2 folds, 4 predictions files: 0 leaks, 0 warnings\n")


def test_predictions_against_split_files_show_leaks_and_losses(tmp_path, capsys):
    write_fold(tmp_path / "splits" / "splits_0.csv", CLEAN[0])
    write_rows(tmp_path / "p" / "fold0.parquet", subtype_rows(0, "A", "C", "Z"))
    sheet = tmp_path / "patients.tsv"
    sheet.write_text("patient\tlabel\nA\tx\nB\tx\nC\ty\nD\tz\nZ\tz\n")
    status, said = audited(tmp_path / "p", capsys, splits=tmp_path / "splits", patients=sheet)
    assert status == 1
    assert "leak: fold 0: 1 evaluated patients are training patients: 1 x (A)" in said
    assert "warning: fold 0: 1 evaluated patients are not in val: 1 z (Z)" in said
    assert "warning: fold 0: 1 patients of val have no prediction: 1 z (D)" in said


def test_predictions_alone_show_what_cannot_be_right(tmp_path, capsys):
    broken = subtype_rows(0, "A", "B", "B").assign(prob_y=[0.25, 0.9, 0.25])
    cell = tmp_path / "paper" / "c" / "e"
    write_rows(cell / "m" / "subtyping" / "fold0.parquet", broken)
    write_rows(cell / "n" / "subtyping" / "fold0.parquet", subtype_rows(0, "A"))
    gone = survival_rows(0, "A", "B", "C").assign(time_days=[0.0, 5, np.nan], risk=[0.5, np.nan, 1])
    write_rows(cell / "m" / "survival" / "fold0.parquet", gone)
    write_rows(cell / "m" / "survival" / "fold1.parquet", survival_rows(1, "A"))
    status, said = audited(tmp_path, capsys)
    assert status == 0
    for text in (
        "paper/c/e/m/subtyping: 1 units are predicted more than once",
        "probabilities of 1 rows do not add up to 1",
        "1 rows have no risk",
        "1 rows have no outcome",
        "1 rows have a follow-up of 0 days or less: a missing outcome filled in?",
        "paper/c/e/m/survival: 1 patients are evaluated in more than one fold",
        "paper/c/subtyping: methods were evaluated on different units",
    ):
        assert text in said, text


def test_files_that_are_no_predictions_are_refused(tmp_path):
    with pytest.raises(MirrorflowError, match="nothing to audit"):
        audit_files(Given())
    with pytest.raises(MirrorflowError, match=r"no fold<k>\.parquet"):
        audit_files(Given(predictions=tmp_path))
    write_rows(tmp_path / "fold0.parquet", pd.DataFrame({"patient": ["A"], "fold": [0]}))
    with pytest.raises(MirrorflowError, match="it lacks prob_<class> or risk"):
        audit_files(Given(predictions=tmp_path))


def test_two_codes_of_one_institution_are_one_site(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("TCGA-AA-0001",), ("TCGA-BB-0002",)))
    table = tmp_path / "institutions.tsv"
    table.write_text("site\tinstitution\nAA\tGeneral\nBB\tGeneral\n")
    assert audit_files(Given(tmp_path)) == 0
    assert "sites are in train and val" not in capsys.readouterr().out
    audit_files(Given(tmp_path, institutions=table))
    assert "1 of 1 tissue source sites are in train and val (General)" in capsys.readouterr().out
    table.write_text("code\tname\nAA\tGeneral\n")
    with pytest.raises(MirrorflowError, match="no column institution, site"):
        audit_files(Given(tmp_path, institutions=table))
