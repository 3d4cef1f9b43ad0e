"""``mirrorflow audit`` on anyone's files, and the split files it repairs."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit.findings import audit_splits, leaks
from mirrorflow.cli import main
from mirrorflow.cohorts.splits import Fold, repair_folds
from mirrorflow.commands.audit_files import AuditRequest, audit_files
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import MirrorflowError
from mirrorflow.store.predictions import content_digest, write_predictions
from mirrorflow.store.tables import read_fold, read_folds, write_fold

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
    assert audit_files(AuditRequest(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 2: 3 patients are in train and val" in said
    assert "5 folds: 5 leaks" in said


def test_clean_split_files_end_well(tmp_path, capsys):
    for number, fold in enumerate(CLEAN):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    assert audit_files(AuditRequest(tmp_path)) == 0
    assert "2 folds: 0 leaks, 0 warnings" in capsys.readouterr().out


def test_an_audit_with_a_patients_sheet_knows_sites_and_classes(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("A", "B"), ("C",)))
    sheet = tmp_path / "patients.tsv"
    sheet.write_text("patient\tsite\tlabel\nA\ts\tx\nB\tt\ty\nC\ts\tx\n")
    assert audit_files(AuditRequest(tmp_path, patients=sheet)) == 0
    said = capsys.readouterr().out
    assert "1 of 2 sites are in train and val (s)" in said
    assert "val has no patient of class y" in said
    sheet.write_text("case\tsite\nA\ts\n")
    with pytest.raises(MirrorflowError, match="no column `patient`"):
        audit_files(AuditRequest(tmp_path, patients=sheet))


def test_words_for_unknown_are_no_site_and_no_class(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("A", "B"), ("C", "D")))
    sheet = tmp_path / "patients.tsv"
    sheet.write_text("patient\tsite\tlabel\nA\tNot Reported\tx\nB\tt\t'--\nC\tnot reported\tx\nD\tNot Reported\tx\n")
    assert audit_files(AuditRequest(tmp_path, patients=sheet)) == 0
    said = capsys.readouterr().out
    assert "eported" not in said
    assert "--" not in said


def test_a_folder_without_split_files_is_refused(tmp_path):
    with pytest.raises(MirrorflowError, match=r"no splits_<k>\.csv"):
        audit_files(AuditRequest(tmp_path))


def test_names_of_slides_and_samples_are_those_of_their_patients(tmp_path, capsys):
    slides = [f"TCGA-AA-000{patient}-01Z-00-DX{slide}.UUID" for patient in "123" for slide in "12"]
    write_fold(tmp_path / "splits_0.csv", Fold(tuple(slides[:3]), tuple(slides[3:])))
    assert audit_files(AuditRequest(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 0: 1 patients are in train and val (TCGA-AA-0002)" in said
    assert "6 names are longer TCGA barcodes, cut to their patient's 12 characters (TCGA-AA-0001-01Z-00-DX1" in said
    assert "more than once" not in said
    assert "sites were compared by code only" in said


def test_a_sheet_of_slides_says_whose_they_are(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("s1", "s3", "s3"), ("s2", "P9")))
    sheet = tmp_path / "slides.tsv"
    sheet.write_text("slide_id\tpatient\ns1\tA\ns2\tA\ns3\tB\n")
    assert audit_files(AuditRequest(tmp_path)) == 0
    capsys.readouterr()
    assert main(["audit", "--splits", str(tmp_path), "--slides", str(sheet)]) == 1
    said = capsys.readouterr().out
    assert "leak: fold 0: 1 patients are in train and val (A)" in said
    assert "1 patients are listed more than once in train (B)" in said
    assert "3 names are slides of the sheet, taken for their patients" in said
    assert "1 names are not in the sheet of slides, taken for patients (e.g. P9)" in said
    sheet.write_text("slide\tpatient\ns1\tA\n")
    with pytest.raises(MirrorflowError, match="no column slide_id; the sheet has slide, patient"):
        audit_files(AuditRequest(tmp_path, slides=sheet))


def test_samples_in_the_sheet_of_slides_are_those_of_their_patients(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("s1",), ("s2", "TCGA-A1-A0SD")))
    sheet = tmp_path / "slides.tsv"
    rows = ["s1\tTCGA-A1-A0SB-01A", "s2\tTCGA-A1-A0SB-06A", "s3\tTCGA-A1-A0SD-01A"]
    sheet.write_text("\n".join(["slide_id\tpatient", *rows]) + "\n")
    assert audit_files(AuditRequest(tmp_path, slides=sheet)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 0: 1 patients are in train and val (TCGA-A1-A0SB)" in said
    assert "2 names are slides of the sheet, taken for their patients" in said
    assert "2 names are longer TCGA barcodes, cut to their patient's 12 characters (TCGA-A1-A0SB-01A ->" in said
    assert "not in the sheet" not in said


def test_a_test_column_is_a_third_part(tmp_path, capsys):
    (tmp_path / "splits_0.csv").write_text(",train,val,test\n0,A,C,D\n1,B,A,C\n")
    assert audit_files(AuditRequest(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 0: 1 patients are in train and val (A)" in said
    assert "leak: fold 0: 1 patients are in val and test (C)" in said
    audit_files(AuditRequest(tmp_path), tmp_path / "fixed")
    assert (tmp_path / "fixed" / "splits_0.csv").read_text() == "train,val,test\nB,A,C\n,,D\n"
    (tmp_path / "splits_0.csv").write_text("train,test\nA,A\n")
    assert audit_files(AuditRequest(tmp_path)) == 1
    (tmp_path / "splits_0.csv").write_text("train,other\nA,A\n")
    with pytest.raises(MirrorflowError, match="a split file has train, and val or test or both"):
        audit_files(AuditRequest(tmp_path))


def test_folds_go_by_the_number_in_their_names_and_clams_other_files_are_passed_over(tmp_path, capsys):
    for number, fold in ((1, CLEAN[0]), (10, Fold(("A",), ("A",)))):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    for name in ("splits_1_bool.csv", "splits_1_descriptor.csv"):
        (tmp_path / name).write_text(",train,val,test\nslide,True,False,False\n")
    assert audit_files(AuditRequest(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "leak: fold 10: 1 patients" in said
    assert "2 folds" in said
    write_fold(tmp_path / "fold1.csv", CLEAN[0])
    with pytest.raises(MirrorflowError, match="are both of fold 1; keep one"):
        audit_files(AuditRequest(tmp_path))


# Repair.


def test_repaired_folds_keep_every_patient_once():
    folds = rcc_like_folds([15, 10, 3, 10, 13])
    all_units = {name for fold in folds for name in (*fold.train, *fold.val)}
    assert len(leaks(audit_splits(folds, {}, {}))) == 5
    repaired = repair_folds(folds)
    assert audit_splits(repaired, {}, {}) == []
    for fold in repaired:
        assert sorted((*fold.train, *fold.val)) == sorted(all_units)
    evaluated = [name for fold in repaired for name in fold.val]
    assert len(evaluated) == len(set(evaluated)) == len(all_units)
    assert all(set(new.val) <= set(old.val) for old, new in zip(folds, repaired, strict=True))


def test_whole_folds_are_left_as_they_are_and_nobody_is_moved_to_evaluation():
    assert repair_folds(CLEAN) == CLEAN
    (one,) = repair_folds([Fold(("A", "B", "C"), ("C",))])
    assert one == Fold(("A", "B"), ("C",))


def test_a_patient_of_several_val_parts_goes_to_the_smallest():
    folds = [Fold(("C", "D"), ("A", "B", "X")), Fold(("A", "B"), ("C", "X"))]
    repaired = repair_folds(folds)
    assert repaired[1].val == ("C", "X")
    assert "X" in repaired[0].train


def test_repaired_files_keep_the_names_that_they_had(tmp_path):
    write_fold(tmp_path / "splits_3.csv", Fold(("s1", "s3"), ("s2",)))
    sheet = tmp_path / "slides.tsv"
    sheet.write_text("slide_id\tpatient\ns1\tA\ns2\tA\ns3\tB\n")
    assert audit_files(AuditRequest(tmp_path, slides=sheet), tmp_path / "fixed") == 1
    assert read_fold(tmp_path / "fixed" / "splits_3.csv") == Fold(("s3",), ("s1", "s2"))


def test_a_repair_with_test_parts_keeps_val_and_evaluates_all_units_once():
    folds = [Fold(("A", "E"), ("B", "C"), ("C", "D")), Fold(("B", "D"), ("A",), ("D", "E"))]
    repaired = repair_folds(folds)
    assert leaks(audit_splits(repaired, {}, {})) == []
    assert repaired == [Fold(("A", "E"), ("B",), ("C", "D")), Fold(("B", "C", "D"), ("A",), ("E",))]


def test_the_command_offers_and_writes_repaired_files(tmp_path, capsys):
    for number, fold in enumerate(rcc_like_folds([15, 10, 3, 10, 13])):
        write_fold(tmp_path / f"splits_{number}.csv", fold)
    assert main(["audit", "--splits", str(tmp_path)]) == 1
    assert "--repair OUT" in capsys.readouterr().out
    assert main(["audit", "--splits", str(tmp_path), "--repair", str(tmp_path / "fixed")]) == 1
    assert "5 split files, 5 of them changed" in capsys.readouterr().out
    assert main(["audit", "--splits", str(tmp_path / "fixed")]) == 0
    assert len(read_folds(tmp_path / "fixed", 5)) == 5


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
    status = audit_files(AuditRequest(predictions=folder, **given))
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


def test_predictions_of_a_number_without_split_file_are_held_against_none(tmp_path, capsys):
    write_fold(tmp_path / "splits" / "splits_1.csv", CLEAN[0])
    write_rows(tmp_path / "p" / "fold0.parquet", subtype_rows(0, "A"))
    write_rows(tmp_path / "p" / "fold1.parquet", subtype_rows(1, "C", "D"))
    status, said = audited(tmp_path / "p", capsys, splits=tmp_path / "splits")
    assert status == 0
    assert "predictions of fold 0 have no split file of that number (there: 1) and were held against none" in said
    assert "training patients" not in said


def test_classes_come_from_the_rows_where_no_sheet_is_given(tmp_path, capsys):
    write_fold(tmp_path / "splits" / "splits_0.csv", Fold(("A", "B"), ("C", "D")))
    write_rows(tmp_path / "p" / "fold0.parquet", subtype_rows(0, "A", "C"))
    _, said = audited(tmp_path / "p", capsys, splits=tmp_path / "splits")
    assert "1 evaluated patients are training patients: 1 x (A)" in said
    assert "1 patients of val have no prediction: 1 class unknown (D)" in said


HONEST = PROTOCOL_PRESETS["honest"]


def write_noted(folder: Path, fold: int, protocol: dict, rows: pd.DataFrame | None = None, **note: object) -> None:
    """A predictions file of ours with the notes of its setting ``all``."""
    noted = {"setting": "all", "seed": 0, "lost_units": [], "train_patients": 2} | note
    rows = subtype_rows(fold, "C") if rows is None else rows
    notes = {"protocol": protocol, "settings": [noted], "classes": ["x", "y"], "digest": "d"}
    write_predictions(folder / f"fold{fold}.parquet", rows, notes)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("fold", ["fold0", "fold0"], "row 0: 'fold0'; write the fold's number"),
        ("fold", [0.0, np.nan], "row 1: 'nan'; write the fold's number"),
        ("fold", [0.5, 0.5], "row 0: '0.5'; write the fold's number"),
        ("time_days", ["12", "long"], "row 1: 'long'; write a number"),
        ("time_days", ["12", ""], "row 1: ''; write a number, or nothing where it is unknown"),
        ("risk", ["high", "low"], "row 0: 'high'; write a number"),
        ("prob_x", ["0.5", "half"], "row 1: 'half'; write a number"),
    ],
)
def test_values_that_are_no_numbers_are_refused_with_file_column_and_row(tmp_path, column, values, said):
    rows = subtype_rows(0, "A", "B") if column == "prob_x" else survival_rows(0, "A", "B")
    rows.assign(**{column: values}).to_parquet(tmp_path / "fold0.parquet")
    with pytest.raises(MirrorflowError, match=re.escape(f"fold0.parquet: column {column}, {said}")):
        audit_files(AuditRequest(predictions=tmp_path))


def test_numbers_that_are_written_as_text_are_numbers(tmp_path, capsys):
    as_text = {"fold": "0", "time_days": ["12", "-1"], "risk": ["0.5", None]}
    survival_rows(0, "A", "B").assign(**as_text).to_parquet(tmp_path / "fold0.parquet")
    status, said = audited(tmp_path, capsys)
    assert status == 0
    assert "1 rows have no risk" in said
    assert "1 rows have a follow-up of 0 days or less" in said


def test_our_own_notes_that_are_honest_say_nothing(tmp_path, capsys):
    write_noted(tmp_path, 0, HONEST, gene_labels=2)
    assert audited(tmp_path, capsys) == (0, "1 predictions files: 0 leaks, 0 warnings\n")


@pytest.mark.parametrize(
    ("protocol", "note", "said"),
    [
        ({"epoch": "best_on_evaluation"}, {}, "leak: all folds: the reported epoch of the probe is the best one on"),
        ({"survival_bins": "cohort"}, {}, "leak: all folds: survival bins were set with the outcomes of evaluation"),
        ({"gene_selection": "cohort"}, {"gene_labels": 3}, "leak: fold 0: genes were chosen with 3 subtype labels of"),
        ({}, {"gene_labels": 3}, "leak: fold 0: genes were chosen with 3 subtype labels, more than the 2 training"),
        ({"epoch": "nested"}, {"epoch": 3}, "leak: fold 0: all: the epoch was chosen on nothing that the file names"),
        ({}, {"setting": "3-shot", "gene_labels": 9}, "warning: fold 0: 3-shot: genes were chosen with 9 labels"),
        ({}, {"lost_units": ["C"]}, "warning: fold 0: all: 1 evaluation units were lost with the last incomplete"),
    ],
)
def test_our_own_notes_tell_what_rows_cannot(tmp_path, capsys, protocol, note, said):
    write_noted(tmp_path, 0, HONEST | protocol, **note)
    status, printed = audited(tmp_path, capsys)
    assert said in printed
    assert status == int(said.startswith("leak"))


def test_lost_units_are_named_by_the_class_that_rows_give_them(tmp_path, capsys):
    write_noted(tmp_path / "a", 0, HONEST, lost_units=["D"])
    write_noted(tmp_path / "b", 0, HONEST, subtype_rows(0, "D"))
    assert (
        "a: all: 1 evaluation units were lost with the last incomplete batch: 1 x (D)" in audited(tmp_path, capsys)[1]
    )


def test_bins_that_are_the_same_in_every_fold_were_set_by_all_units(tmp_path, capsys):
    for fold in range(2):
        write_noted(tmp_path, fold, HONEST, survival_rows(fold, f"P{fold}"), bin_edges_days=[0.0, 5.0])
    assert "leak: all folds: survival bins are the same in all 2 folds" in audited(tmp_path, capsys)[1]
    write_noted(tmp_path, 1, HONEST, survival_rows(1, "P1"), bin_edges_days=[0.0, 6.0])
    assert audited(tmp_path, capsys)[0] == 0


def test_what_several_methods_share_stands_once(tmp_path, capsys):
    for method in "abc":
        write_noted(tmp_path / method, 0, HONEST | {"unit": "slide"})
    said = audited(tmp_path, capsys)[1]
    assert said.count("the unit is the slide") == 1
    assert "warning: all folds: a and 2 more: the unit is the slide" in said


# What was changed, and inputs under two names.


def survival_file(folder: Path, risk: np.ndarray, **columns: object) -> Path:
    """A fold of ``len(risk)`` patients in two settings, as a method of honest/c/e leaves it."""
    path = folder / "honest/c/e/m/survival/fold0.parquet"
    rows = survival_rows(0, *[f"P{i:02}" for i in range(len(risk))]).assign(risk=risk, **columns)
    write_rows(path, pd.concat([rows, rows.assign(setting="3-shot", risk=risk * 2)]))
    return path


def test_patients_who_are_predicted_exactly_alike_are_remarked_on(tmp_path, capsys):
    risk = np.random.default_rng(0).random(40)
    survival_file(tmp_path, risk)
    assert audited(tmp_path, capsys)[1] == "1 predictions files: 0 leaks, 0 warnings\n"
    risk[4] = risk[9]
    survival_file(tmp_path, risk)
    status, said = audited(tmp_path, capsys)
    assert status == 0
    assert "2 patients are predicted exactly as another patient, in every setting and seed" in said
    assert "(P04 = P09)" in said


@pytest.mark.parametrize("values", [np.zeros(40), np.arange(40) // 2])
def test_constant_methods_and_those_of_few_categories_are_not_cried_over(tmp_path, capsys, values):
    survival_file(tmp_path, values.astype(float))
    assert "0 leaks, 0 warnings" in audited(tmp_path, capsys)[1]


def test_certain_predictions_are_not_the_same_inputs(tmp_path, capsys):
    rows = subtype_rows(0, *[f"P{i:02}" for i in range(40)])
    chance = np.random.default_rng(0).random(40)
    chance[:3] = 1.0
    write_rows(tmp_path / "fold0.parquet", rows.assign(prob_x=chance, prob_y=1 - chance))
    assert "0 leaks, 0 warnings" in audited(tmp_path, capsys)[1]


def test_predictions_are_held_against_the_labels_and_events_of_a_sheet(tmp_path, capsys):
    write_rows(tmp_path / "p" / "a" / "fold0.parquet", subtype_rows(0, "A", "B").assign(label=["x", "y"]))
    write_rows(tmp_path / "p" / "b" / "fold0.parquet", survival_rows(0, "A", "B"))
    sheet = tmp_path / "patients.tsv"
    sheet.write_text("patient\tlabel\tevent\nA\tx\t1\nB\ty\t1.0\n")
    assert audited(tmp_path / "p", capsys, patients=sheet)[0] == 0
    sheet.write_text("patient\tlabel\tevent\nA\ty\t0\nB\ty\t1\nC\tx\t0\n")
    status, said = audited(tmp_path / "p", capsys, patients=sheet)
    assert status == 1
    assert "a: 1 patients are evaluated on a label that the patients' sheet has otherwise (A)" in said
    assert "b: 1 patients are evaluated on an event that the patients' sheet has otherwise (A)" in said
    sheet.write_text("patient\tlabel\nA\tLUSC\nB\tLUAD\n")  # other words are no other labels
    assert audited(tmp_path / "p", capsys, patients=sheet)[0] == 0


def test_our_own_files_are_held_against_their_manifest(tmp_path, capsys):
    place = tmp_path / "honest/c/e/m"
    (place / "survival").mkdir(parents=True)
    path, notes = place / "survival/fold0.parquet", {"settings": []}
    write_predictions(path, survival_rows(0, "A", "B"), notes)
    record = {"written": {"survival/fold0.parquet": "d"}, "skipped": {}}
    record["checksums"] = {"survival/fold0.parquet": content_digest(path)}
    (place / "manifest.json").write_text(json.dumps(record))
    assert audited(tmp_path, capsys)[0] == 0
    write_predictions(path, survival_rows(0, "A", "B").assign(risk=0.6), notes)
    status, said = audited(tmp_path, capsys)
    assert status == 1
    assert "1 predictions files are not what was written" in said
    assert "(honest/c/e/m/survival/fold0.parquet)" in said
    survival_rows(0, "A", "B").to_parquet(path)  # its notes are gone
    assert audited(tmp_path, capsys)[0] == 1


def test_methods_of_a_table_that_saw_different_features_are_a_leak(tmp_path, capsys):
    for method, seen in (("one", "old"), ("two", "new")):
        path = tmp_path / "honest/c/e" / method / "survival/fold0.parquet"
        path.parent.mkdir(parents=True)
        write_predictions(path, survival_rows(0, "A", "B"), {"settings": [], "features_digest": seen})
    status, said = audited(tmp_path, capsys)
    assert status == 1
    assert "honest/c: the methods of one table saw 2 versions of the features of e: one | two" in said


def test_files_that_are_no_predictions_are_refused(tmp_path):
    with pytest.raises(MirrorflowError, match="nothing to audit"):
        audit_files(AuditRequest())
    with pytest.raises(MirrorflowError, match=r"no fold<k>\.parquet"):
        audit_files(AuditRequest(predictions=tmp_path))
    write_rows(tmp_path / "fold0.parquet", pd.DataFrame({"patient": ["A"], "fold": [0]}))
    with pytest.raises(MirrorflowError, match="it lacks prob_<class> or risk"):
        audit_files(AuditRequest(predictions=tmp_path))


def test_two_codes_of_one_institution_are_one_site(tmp_path, capsys):
    write_fold(tmp_path / "splits_0.csv", Fold(("TCGA-AA-0001",), ("TCGA-BB-0002",)))
    table = tmp_path / "institutions.tsv"
    table.write_text("site\tinstitution\nAA\tGeneral\nBB\tGeneral\n")
    assert audit_files(AuditRequest(tmp_path)) == 0
    assert "sites are in train and val" not in capsys.readouterr().out
    audit_files(AuditRequest(tmp_path, institutions=table))
    said = capsys.readouterr().out
    assert "1 of 1 institutions are in train and val (General)" in said
    assert "by code only" not in said
    write_fold(tmp_path / "splits_0.csv", Fold(("TCGA-AA-0001",), ("TCGA-AG-0002",)))
    audit_files(AuditRequest(tmp_path, institutions=Path("tcga")))
    assert "1 of 1 institutions are in train and val (Indivumed)" in capsys.readouterr().out
    table.write_text("code\tname\nAA\tGeneral\n")
    with pytest.raises(MirrorflowError, match="no column institution, site"):
        audit_files(AuditRequest(tmp_path, institutions=table))
