"""Rules build_cohort, make_splits and draw_support on sheets written to disk."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit import findings as audit
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold, evaluation_units
from mirrorflow.errors import InputError
from mirrorflow.steps.cohort.build_cohort import Outputs, build_cohort
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_inner_splits import make_inner_splits
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.expression import ExpressionWriter
from mirrorflow.store.slide_sheet import SlideRow
from mirrorflow.store.tables import read_cohort, read_fold, read_site_codes, read_text_sheet, write_cohort, write_fold

CLINICAL = {"sheet": "", "columns": {}, "time_unit": "days"}


def write_expression(path: Path, patients: list[str]) -> None:
    with ExpressionWriter(path, patients) as writer:
        writer.add(["g"], ["G"], np.zeros((1, len(patients)), np.float32))
        writer.finish({}, {})


def people(count: int = 30, **changes: object) -> pd.DataFrame:
    number = np.arange(count)
    frame = pd.DataFrame(
        {
            "patient": [f"P{i:02}" for i in number],
            "label": np.array(["a", "b"])[number % 2],
            "time_days": number + 1.0,
            "event": (number % 3 > 0).astype(float),
            "site": [f"s{i % 6}" for i in number],
            "slide_ids": [[f"P{i:02}-1", f"P{i:02}-2"] for i in number],
        }
    )
    return frame.assign(**changes)


def split(tmp: Path, frame: pd.DataFrame, kind: str = "random", count: int = 3, **changes: object) -> list[Fold]:
    write_cohort(tmp / "cohort.parquet", frame, ["a", "b"])
    paths = [str(tmp / f"splits_{number}.csv") for number in range(count)]
    settings = {"kind": kind, "folder": None, "seed": 1} | changes
    make_splits(str(tmp / "cohort.parquet"), paths, str(tmp / "summary.tsv"), **settings)
    return [read_fold(path) for path in paths]


def split_again(tmp: Path, count: int = 3, inner: int = 2, **settings: int) -> list[list[Fold]]:
    """Inner folds [inner fold][fold] of what :func:`split` wrote."""
    splits = [str(tmp / f"splits_{number}.csv") for number in range(count)]
    outputs = [[str(tmp / f"inner{number}-splits_{k}.csv") for k in range(count)] for number in range(inner)]
    make_inner_splits(str(tmp / "cohort.parquet"), splits, outputs, seed=1, **settings)
    return [[read_fold(path) for path in paths] for paths in outputs]


def test_split_files_of_an_earlier_config_with_more_folds_are_removed(tmp_path):
    split(tmp_path, people(), count=5)
    split_again(tmp_path, count=5)
    split(tmp_path, people(), count=3)
    assert sorted(path.name for path in tmp_path.glob("splits_*.csv")) == [f"splits_{k}.csv" for k in range(3)]
    assert len(list(tmp_path.glob("inner*-splits_*.csv"))) == 10  # make_inner_splits' own


@pytest.mark.parametrize("kind", ["random", "site_preserved"])
def test_inner_split_files_part_each_folds_training_patients_by_site_where_the_folds_are(tmp_path, kind):
    frame = people()
    folds, inner = split(tmp_path, frame, kind), split_again(tmp_path)
    site = dict(zip(frame["patient"], frame["site"], strict=True))
    shared = []
    for k, fold in enumerate(folds):
        for parts in inner:
            assert sorted(parts[k].train + parts[k].val) == sorted(fold.train)
            shared.append({site[name] for name in parts[k].train} & {site[name] for name in parts[k].val})
        assert sorted(inner[0][k].val + inner[1][k].val) == sorted(fold.train)
    assert any(shared) == (kind == "random")
    assert split_again(tmp_path) == inner


def test_classes_too_small_for_inner_folds_are_named_with_the_mend(tmp_path):
    split(tmp_path, people(label=["a"] * 26 + ["b"] * 4), count=2)
    assert split_again(tmp_path, count=2)
    match = r"splits_0.csv, training part of inner fold 0: fewer than 2 patients of class b \(1\).* raise splits.inner_"
    with pytest.raises(InputError, match=match):
        split_again(tmp_path, count=2, per_class=2)


# build_cohort


def build(folder: Path, sheet: str, settings: dict, rna: list[str]) -> pd.DataFrame:
    (folder / "patients.tsv").write_text(sheet)
    (folder / "uni.tsv").write_text(
        "slide_id\tpatient\tpath\tstatus\treason\n"
        "a1\tA\tp\tok\t\nb1\tB\tp\tok\t\nb2\tB\tp\tmissing\tno such file\nc1\tC\tp\tok\t\n"
    )
    write_expression(folder / "rna.parquet", rna)
    build_cohort(
        CLINICAL | {"sheet": str(folder / "patients.tsv")},
        settings,
        {"uni": str(folder / "uni.tsv")},
        str(folder / "rna.parquet"),
        Outputs(folder / "cohort.parquet", folder / "dropped.tsv", folder / "flow.tsv"),
    )
    return read_cohort(folder / "cohort.parquet")[0]


def test_a_cohort_is_written_with_who_was_dropped_and_why(tmp_path):
    sheet = "patient\tlabel\ttime\tevent\tage\nA\tx\t10\t1\t60\nB\ty\t\t\t70\nC\tz\t5\t0\t\n"
    settings = {"classes": {"y": "why", "x": "ex"}, "site": "none"}
    frame = build(tmp_path, sheet, settings, ["A", "B"])
    assert frame["patient"].tolist() == ["A", "B"]
    assert frame["label"].tolist() == ["ex", "why"]
    assert frame["age"].tolist() == ["60", "70"]
    assert frame["slide_ids"].tolist() == [["a1"], ["b1"]]
    assert read_cohort(tmp_path / "cohort.parquet")[1] == ["why", "ex"]
    dropped = read_text_sheet(tmp_path / "dropped.tsv").set_index(["step", "patient"])["reason"].to_dict()
    assert dropped == {
        ("features of uni", "B"): "missing: no such file",
        ("expression", "C"): "no expression",
        ("survival", "B"): "outcome unknown: kept for pretraining and subtyping",
    }
    flow = read_text_sheet(tmp_path / "flow.tsv")
    assert flow["patients"].tolist() == ["3", "3", "2", "2", "1"]


def test_a_table_of_institutions_names_the_sites_it_knows(tmp_path):
    table = tmp_path / "institutions.tsv"
    table.write_text("site\tinstitution\nAA\tGeneral\nBB\tGeneral\n")
    sheet = "patient\tsite\nA\tAA\nB\tBB\nC\tCC\n"
    settings = {"classes": {}, "site": "column"}
    frame = build(tmp_path, sheet, settings | {"institutions": str(table)}, ["A", "B", "C"])
    assert frame["site"].tolist() == ["General", "General", "CC"]
    assert read_site_codes(tmp_path / "cohort.parquet") == {"AA": "General", "BB": "General"}
    assert build(tmp_path, sheet, settings, ["A", "B", "C"])["site"].tolist() == ["AA", "BB", "CC"]
    assert read_site_codes(tmp_path / "cohort.parquet") == {}
    ours = "patient\tsite\nA\tA6\nB\tAF\nC\t??\n"
    frame = build(tmp_path, ours, settings | {"institutions": "tcga", "table": "digest"}, ["A", "B", "C"])
    assert frame["site"].tolist() == ["Christiana Healthcare", "Christiana Healthcare", "??"]
    codes = read_site_codes(tmp_path / "cohort.parquet")  # of its own institutions, not of all that there are
    assert {"A6", "AF"} <= set(codes)
    assert set(codes.values()) == {"Christiana Healthcare"}


def test_a_bad_sheet_names_the_file_and_the_line(tmp_path):
    with pytest.raises(InputError, match=r"patients\.tsv: a patient a second time: line 3: 'A'"):
        build(tmp_path, "patient\tlabel\nA\tx\nA\ty\n", {"classes": {}, "site": "none"}, ["A"])


@pytest.mark.parametrize("values", [[1.0, 0.0] * 3, [0.2, 1.4] * 3])
def test_a_gene_that_codes_the_label_is_refused_whatever_its_name(tmp_path, values):
    names = list("ABCDEF")
    rows = "".join(f"{name}\t{'xy'[n % 2]}\t{n}\n" for n, name in enumerate(names))
    (tmp_path / "patients.tsv").write_text(f"patient\tluminal\tdose\n{rows}")
    with ExpressionWriter(tmp_path / "rna.parquet", names) as writer:
        writer.add(["TP53", "luminal"], ["TP53", ""], np.asarray([[1, 2, 3, 4, 5, 6], values], np.float32))
        writer.finish({}, {})
    clinical = CLINICAL | {"sheet": str(tmp_path / "patients.tsv"), "columns": {"label": "luminal"}}
    outputs = Outputs(*(tmp_path / name for name in ("cohort.parquet", "dropped.tsv", "flow.tsv")))
    arguments = {"classes": {}, "site": "none"}, {}, tmp_path / "rna.parquet", outputs
    with pytest.raises(InputError, match=r"rna\.parquet: 'luminal' \(label\) among the genes.*take it out"):
        build_cohort(clinical, *arguments)
    build_cohort({**clinical, "columns": {}}, *arguments)


def test_xenas_tables_are_understood(tmp_path):
    (tmp_path / "survival.tsv").write_text("sample\tOS\tOS.time\nTCGA-A1-0001-01\t1\t5\nTCGA-Z9-0009-01\t0\t7\n")
    (tmp_path / "matrix.tsv").write_text("sampleID\thistological_type\nTCGA-A1-0001-01\tIDC\n")
    (tmp_path / "uni.tsv").write_text("slide_id\tpatient\tstatus\treason\ns\tTCGA-A1-0001\tok\t\n")
    write_expression(tmp_path / "rna.parquet", ["TCGA-A1-0001"])
    clinical = {key: str(tmp_path / f"{key}.tsv") for key in ("survival", "matrix")}
    build_cohort(
        clinical | {"label": "histological_type", "outcome": "OS"},
        {"classes": {"IDC": "idc"}, "site": "barcode"},
        {"uni": str(tmp_path / "uni.tsv")},
        str(tmp_path / "rna.parquet"),
        Outputs(*(tmp_path / name for name in ("cohort.parquet", "dropped.tsv", "flow.tsv"))),
    )
    frame, classes = read_cohort(tmp_path / "cohort.parquet")
    assert frame[["patient", "label", "site"]].to_numpy().tolist() == [["TCGA-A1-0001", "idc", "A1"]]
    assert classes == ["idc"]
    assert read_text_sheet(tmp_path / "dropped.tsv").empty


def test_who_is_left_aside_and_whose_site_differs_is_said_where_the_cohort_is_built(tmp_path, caplog):
    (tmp_path / "survival.tsv").write_text("sample\tOS\tOS.time\nTCGA-05-0001-01\t1\t5\nTCGA-D3-0002-06\t0\t7\n")
    (tmp_path / "matrix.tsv").write_text("sampleID\ttype\nTCGA-05-0001-01\tIDC\nTCGA-D3-0002-06\tIDC\n")
    (tmp_path / "people.tsv").write_text("patient\tsite\nTCGA-05-0001\t5\n")
    slides = "slide_id\tpatient\tstatus\treason\ns\tTCGA-05-0001\tok\t\nm\tTCGA-D3-0002\tok\t\n"
    (tmp_path / "uni.tsv").write_text(slides)
    write_expression(tmp_path / "rna.parquet", ["TCGA-05-0001"])
    xena = {key: str(tmp_path / f"{key}.tsv") for key in ("survival", "matrix")} | {"label": "type", "outcome": "OS"}
    own = CLINICAL | {"sheet": str(tmp_path / "people.tsv")}
    for clinical, site in ((xena, "barcode"), (own, "column")):
        outputs = Outputs(*(tmp_path / name for name in ("cohort.parquet", "dropped.tsv", "flow.tsv")))
        files = {"uni": str(tmp_path / "uni.tsv")}, str(tmp_path / "rna.parquet")
        build_cohort(clinical, {"classes": {}, "site": site}, *files, outputs)
        dropped = read_text_sheet(tmp_path / "dropped.tsv")
        (reason,) = dropped.loc[dropped["slide_id"] == "m", "reason"]
        assert ("06 (metastasis) alone" in reason) == (clinical is xena)
        assert ("'5' for '05' (1 patients)" in caplog.text) == (site == "column")


def test_patients_whose_bags_are_empty_or_hold_nan_are_left_out_and_counted(tmp_path):
    """From feature files to the cohort: a slide without patches costs nothing where the patient has another."""
    bags = {"a1": np.ones((3, 2)), "a2": np.ones((0, 2)), "b1": np.ones((0, 2)), "c1": np.array([[1, np.nan]])}
    for slide, values in bags.items():
        with h5py.File(tmp_path / f"{slide}.h5", "w") as file:
            file["features"] = values.astype(np.float32)
    sheet = [SlideRow(slide, slide[0].upper(), None, None, {}) for slide in bags]
    index_features(sheet, tmp_path, tmp_path / "uni.tsv")
    (tmp_path / "patients.tsv").write_text("patient\ttime\tevent\nA\t5\t1\nB\t6\t0\nC\t7\t1\n")
    write_expression(tmp_path / "rna.parquet", ["A", "B", "C"])
    build_cohort(
        CLINICAL | {"sheet": str(tmp_path / "patients.tsv")},
        {"classes": {}, "site": "none"},
        {"uni": tmp_path / "uni.tsv"},
        tmp_path / "rna.parquet",
        Outputs(*(tmp_path / name for name in ("cohort.parquet", "dropped.tsv", "flow.tsv"))),
    )
    frame, _ = read_cohort(tmp_path / "cohort.parquet")
    assert [(row.patient, row.slide_ids) for row in frame.itertuples()] == [("A", ["a1"])]
    dropped = read_text_sheet(tmp_path / "dropped.tsv")
    reasons = {row.slide_id: row.reason for row in dropped.itertuples() if row.step == "features of uni"}
    assert reasons["a2"] == reasons["b1"] == "empty: it holds no patches"
    assert reasons["c1"].startswith("unreadable: ")
    assert "NaN" in reasons["c1"]
    assert sorted(dropped.loc[dropped["step"] == "slides", "patient"]) == ["B", "C"]
    flow = read_text_sheet(tmp_path / "flow.tsv").set_index("step")
    assert flow.loc["with slides", ["patients", "slides"]].tolist() == ["1", "1"]


# make_splits


@pytest.mark.parametrize("kind", ["random", "site_preserved"])
def test_folds_are_written_as_mirror_publishes_them(tmp_path, kind):
    frame = people()
    folds = split(tmp_path, frame, kind)
    assert sorted(patient for fold in folds for patient in fold.val) == frame["patient"].tolist()
    assert all(set(fold.train) & set(fold.val) == set() for fold in folds)
    summary = read_text_sheet(tmp_path / "summary.tsv")
    assert summary["val"].astype(int).sum() == len(frame)
    assert (summary["val_a"].astype(int) + summary["val_b"].astype(int) == summary["val"].astype(int)).all()
    assert set(summary["in_neither"]) == {"0"}
    if kind == "site_preserved":
        site = dict(zip(frame["patient"], frame["site"], strict=True))
        assert all({site[p] for p in fold.train}.isdisjoint({site[p] for p in fold.val}) for fold in folds)


def test_published_folds_are_kept_less_whom_the_cohort_lacks(tmp_path):
    published = tmp_path / "published"
    for number in range(2):
        write_fold(published / f"splits_{number}.csv", Fold(("P00", "P01", "ghost"), ("P01", "P02")))
    folds = split(tmp_path, people(5), "published", 2, folder=str(published))
    assert folds == [Fold(("P00", "P01"), ("P01", "P02"))] * 2  # a shared patient is the auditor's business
    assert read_text_sheet(tmp_path / "summary.tsv")["in_neither"].tolist() == ["2", "2"]


def test_repaired_folds_keep_every_patient_once_and_count_whom_they_moved(tmp_path):
    published = tmp_path / "published"
    shared = [Fold(("P02", "P00", "P01"), ("P01", "P03")), Fold(("P00", "P03"), ("P01", "P02"))]
    for number, fold in enumerate(shared):
        write_fold(published / f"splits_{number}.csv", fold)
    assert split(tmp_path, people(5), "published", 2, folder=str(published)) == shared
    assert "moved" not in read_text_sheet(tmp_path / "summary.tsv")
    repaired = split(tmp_path, people(5), "published-repaired", 2, folder=str(published))
    assert repaired[0] == Fold(("P00", "P02"), ("P01", "P03"))
    assert repaired[1] == Fold(("P00", "P01", "P03"), ("P02",))
    assert read_text_sheet(tmp_path / "summary.tsv")["moved"].tolist() == ["1", "1"]


def test_folds_without_shared_patients_are_repaired_to_themselves(tmp_path):
    published = tmp_path / "published"
    folds = [Fold(("P03", "P00"), ("P02", "P01")), Fold(("P02", "P01"), ("P03", "P00"))]
    for number, fold in enumerate(folds):
        write_fold(published / f"splits_{number}.csv", fold)
    assert split(tmp_path, people(4), "published-repaired", 2, folder=str(published)) == folds
    assert read_text_sheet(tmp_path / "summary.tsv")["moved"].tolist() == ["0", "0"]


def test_published_folds_of_other_patients_are_refused(tmp_path):
    published = tmp_path / "published"
    write_fold(published / "splits_0.csv", Fold(("P00",), ("ghost",)))
    with pytest.raises(InputError, match=r"splits_0\.csv: none of its patients is in the cohort on one side"):
        split(tmp_path, people(5), "published", 1, folder=str(published))
    with pytest.raises(InputError, match=r"no splits_1\.csv"):
        split(tmp_path, people(5), "published", 2, folder=str(published))


def test_the_test_column_of_split_files_is_evaluated_and_their_val_chooses_epochs(tmp_path, caplog):
    published, frame = tmp_path / "published", people(8)
    write_fold(published / "splits_0.csv", Fold(("P00", "P01", "P02", "P03"), ("P04", "P05", "ghost"), ("P06", "P07")))
    (fold,) = split(tmp_path, frame, "published", 1, folder=str(published))
    assert fold == Fold(("P00", "P01", "P02", "P03"), ("P06", "P07"), choice=("P04", "P05"))
    assert "published: evaluated on the column test of the split files, whose val (2 patients" in caplog.text
    summary = read_text_sheet(tmp_path / "summary.tsv").loc[0]
    assert (summary["val"], summary["choice"], summary["in_neither"]) == ("2", "2", "0")
    assert evaluation_units(to_units(frame, "patient"), fold, "subtyping")["patient"].tolist() == ["P06", "P07"]
    inner = split_again(tmp_path, 1)
    assert inner == [[Fold(("P00", "P01", "P02", "P03"), ("P04", "P05"))]] * 2
    assert audit.audit_inner([fold], inner) == []
    (only,) = split(tmp_path, frame, "published", 1, folder=str(published), evaluate="val")
    assert only == Fold(("P00", "P01", "P02", "P03"), ("P04", "P05"), unused=("P06", "P07"))


def test_repaired_files_of_three_parts_are_evaluated_on_test(tmp_path):
    published = tmp_path / "published"
    shared = [Fold(("P00", "P03"), ("P02",), ("P01", "P03")), Fold(("P01",), ("P02",), ("P00",))]
    for number, fold in enumerate(shared):
        write_fold(published / f"splits_{number}.csv", fold)
    repaired = split(tmp_path, people(4), "published-repaired", 2, folder=str(published))
    assert repaired[0] == Fold(("P00",), ("P01", "P03"), choice=("P02",))
    assert repaired[1] == Fold(("P01",), ("P00",), choice=("P02",))  # shares nobody
    assert read_text_sheet(tmp_path / "summary.tsv")["moved"].tolist() == ["1", "0"]


def test_patients_to_choose_on_who_are_evaluated_too_are_no_choice(tmp_path):
    published = tmp_path / "published"
    write_fold(published / "splits_0.csv", Fold(("P00", "P01"), ("P02",), ("P02", "P03")))
    (fold,) = split(tmp_path, people(5), "published", 1, folder=str(published))
    (finding,) = audit.leaks(audit.audit_splits([fold], {}, {}))
    assert finding.text == "1 patients are in val and choice"
    with pytest.raises(
        InputError, match=r"splits_0\.csv: all patients to choose epochs on are trained on or evaluated"
    ):
        split_again(tmp_path, 1)


# draw_support


def supports(folder: Path, frame: pd.DataFrame, unit: str = "patient", **changes: object) -> pd.DataFrame:
    folds = split(folder, frame)
    paths = [str(folder / f"splits_{number}.csv") for number in range(len(folds))]
    settings = {"unit": unit, "shots": [2, 4], "bins": 4, "seed": 3} | changes
    draw_support(str(folder / "cohort.parquet"), paths, str(folder / "support.tsv"), **settings)
    return read_text_sheet(folder / "support.tsv")


def test_every_support_set_a_protocol_may_ask_for_is_there(tmp_path):
    drawn = supports(tmp_path, people())
    key = ["setting", "task", "fold", "replacement", "survival_bins"]
    assert len(drawn.groupby(key)) == 2 * 2 * 3 * 2 * 2
    honest = drawn[(drawn["replacement"] == "False") & (drawn["setting"] == "4-shot")]
    sizes = honest.groupby([*key, "group"])["patient"].nunique()
    assert (sizes[:, "subtyping"] == 4).all()
    assert honest.groupby(key)["k_real"].nunique().eq(1).all()


def test_support_sets_are_drawn_from_training_patients(tmp_path):
    drawn = supports(tmp_path, people(), "slide")
    for number in range(3):
        train = read_fold(tmp_path / f"splits_{number}.csv").train
        mine = drawn[drawn["fold"] == str(number)]
        assert set(mine["patient"]) <= set(train)
        assert (mine["unit"].str.slice(0, 3) == mine["patient"]).all()


def test_evaluation_labels_and_outcomes_do_not_move_honest_support_sets(tmp_path):
    before = supports(tmp_path, people())
    val = read_fold(tmp_path / "splits_0.csv").val
    frame = people()
    mine = frame["patient"].isin(val)
    frame.loc[mine, "label"] = frame.loc[mine, "label"].to_numpy()[::-1]
    frame.loc[mine, "time_days"] *= 100
    write_cohort(tmp_path / "cohort.parquet", frame, ["a", "b"])
    paths = [str(tmp_path / f"splits_{number}.csv") for number in range(3)]
    draw_support(
        str(tmp_path / "cohort.parquet"),
        paths,
        str(tmp_path / "again.tsv"),
        unit="patient",
        shots=[2, 4],
        bins=4,
        seed=3,
    )
    after = read_text_sheet(tmp_path / "again.tsv")
    honest = [table[(table["fold"] == "0") & (table["survival_bins"] == "fold")] for table in (before, after)]
    pd.testing.assert_frame_equal(honest[0].reset_index(drop=True), honest[1].reset_index(drop=True))


def test_without_outcomes_only_subtyping_has_support_sets(tmp_path):
    assert set(supports(tmp_path, people(event=np.nan))["task"]) == {"subtyping"}
    assert set(supports(tmp_path, people(event=0.0))["task"]) == {"subtyping"}
    assert set(supports(tmp_path, people(label=""))["task"]) == {"survival"}


def test_without_shots_the_table_is_empty_but_there(tmp_path):
    drawn = supports(tmp_path, people(), shots=[])
    assert drawn.empty
    assert "k_real" in drawn
