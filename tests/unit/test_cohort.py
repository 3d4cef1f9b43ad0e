import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.cohorts.institutions import institution_names
from mirrorflow.cohorts.other_samples import without_primary
from mirrorflow.cohorts.site_codes import differing_codes, sites_in_two_cases, unnamed_codes
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.steps.cohort.build_cohort import Outputs, build_cohort

LETTERS = {"patient": list("ABC"), "label": ["x", "y", ""], "time": ["10", "20", "30"], "event": ["1", "0", "1"]}


def sheet(**columns: list[str]) -> pd.DataFrame:
    """A sheet as it is read from disk: every cell a string."""
    return pd.DataFrame(LETTERS | columns, dtype=object)


def index(*rows: str) -> pd.DataFrame:
    """An index of features from rows ``slide patient [status reason]``."""
    cells = [[*row.split(), "ok", ""] if len(row.split()) == 2 else row.split(maxsplit=3) for row in rows]
    return pd.DataFrame(cells, columns=["slide_id", "patient", "status", "reason"])


def patients(**columns: list[str]) -> pd.DataFrame:
    return cohorts.name_classes(cohorts.standard_sheet(sheet(**columns), {}, "p.tsv", "days"), {}, "none")


# The user's own sheet.


def test_a_sheet_gets_our_columns_and_units():
    own = pd.DataFrame({"case": ["A"], "what": [" IDC "], "months": ["12"], "dead": ["1"], "age": ["61"]})
    columns = {"patient": "case", "label": "what", "time": "months", "event": "dead"}
    frame = cohorts.standard_sheet(own, columns, "p.tsv", "months")
    assert frame.loc[0, ["patient", "label", "site", "age"]].tolist() == ["A", "IDC", "", "61"]
    assert frame.loc[0, "time_days"] == pytest.approx(365.25)
    assert frame.loc[0, "event"] == 1
    assert "case" not in frame
    assert "time" not in frame


@pytest.mark.parametrize(("unit", "days"), [("days", 10), ("months", 10 * 365.25 / 12), ("years", 3652.5)])
def test_times_become_days(unit, days):
    assert cohorts.standard_sheet(sheet(), {}, "p.tsv", unit).loc[0, "time_days"] == pytest.approx(days)


def test_a_mapped_column_replaces_the_sheets_column_of_our_name():
    own = sheet(subtype=["s", "t", "u"])
    frame = cohorts.standard_sheet(own, {"label": "subtype"}, "p.tsv", "days")
    assert frame["label"].tolist() == ["s", "t", "u"]


def test_a_column_named_as_one_of_ours_means_nothing(caplog):
    """``has_rna`` with blanks left patients out of all that sees RNA; ``any_cause_event`` ended in KeyError."""
    named = {name: ["", "no", "1"] for name in ("has_rna", "any_cause_days", "any_cause_event", "slide_ids")}
    frame = cohorts.standard_sheet(sheet(**named, age=["1", "2", "3"]), {}, "p.tsv", "days")
    assert not set(named) & set(frame)
    assert (
        "p.tsv: columns with names that mean something else here are not read: has_rna, any_cause_days" in caplog.text
    )
    kept, _ = assemble(frame, {"uni": index("a1 A", "b1 B", "c1 C")}, list("ABC"), "p.tsv")
    assert len(cohorts.who_has(kept, ["rna"])) == len(kept) == 3
    assert kept["age"].tolist() == ["1", "2", "3"]


def test_a_column_of_our_name_is_read_where_it_is_asked_for():
    own = sheet(time_days=["1", "2", "3"]).drop(columns="time")
    frame = cohorts.standard_sheet(own, {"time": "time_days"}, "p.tsv", "days")
    assert frame["time_days"].tolist() == [1, 2, 3]


def test_two_of_our_columns_may_come_from_one_of_the_sheet():
    frame = cohorts.standard_sheet(sheet(), {"label": "label", "site": "label"}, "p.tsv", "days")
    assert frame["site"].tolist() == frame["label"].tolist() == ["x", "y", ""]


def test_columns_that_are_not_there_are_named():
    with pytest.raises(InputError, match=r"p\.tsv: no column time \(months\); the sheet has patient, label"):
        cohorts.standard_sheet(sheet(), {"time": "months"}, "p.tsv", "days")
    with pytest.raises(InputError, match=r"no column `patient`.*columns"):
        cohorts.standard_sheet(sheet().drop(columns="patient"), {}, "p.tsv", "days")


def test_label_time_event_and_site_may_be_absent():
    frame = cohorts.standard_sheet(pd.DataFrame({"patient": ["A"]}), {}, "p.tsv", "days")
    assert frame.loc[0, ["label", "site"]].tolist() == ["", ""]
    assert frame[["time_days", "event"]].isna().all().all()
    assert not cohorts.has_outcome(frame).any()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"patient": ["A", "B", "A"]}, r"p\.tsv: a patient a second time: line 4: 'A'"),
        ({"patient": ["A", " ", "C"]}, r"a patient without a name: line 3: ''"),
        ({"event": ["1", "0", "2"]}, r"event is not 0 or 1: line 4: '2'"),
        ({"event": ["gone", "0", "1"]}, r"event is not a number: line 2: 'gone'; say what it means: event_words"),
        ({"time": ["10", "-1", "3"]}, r"a negative time: line 3: '-1'"),
        ({"time": ["10", "2", "inf"]}, r"time is not a number: line 4: 'inf'"),
        ({"time": ["1O", "2", "3"]}, r"time is not a number: line 2: '1O'"),
    ],
)
def test_a_bad_line_is_named_with_its_value(columns, said):
    with pytest.raises(InputError, match=said):
        cohorts.standard_sheet(sheet(**columns), {}, "p.tsv", "days")


def test_at_most_five_bad_lines_are_shown():
    many = pd.DataFrame({"patient": [f"P{i}" for i in range(9)], "event": ["7"] * 9})
    with pytest.raises(InputError, match=r"line 6: '7' \.\.\.; say what it means: event_words$") as caught:
        cohorts.standard_sheet(many, {}, "p.tsv", "days")
    assert "line 7" not in str(caught.value)


@pytest.mark.parametrize(
    "written", ["", "NA", "NaN", "[Not Available]", "Not Reported", "'--", "[Discrepancy]", "unknown"]
)
def test_an_unknown_outcome_or_label_is_unknown_however_it_is_written(written):
    frame = cohorts.standard_sheet(
        sheet(label=[written, "x", "y"], time=[written, "1", "1"], event=["1", written, "0"]), {}, "p.tsv", "days"
    )
    assert cohorts.has_label(frame).tolist() == [False, True, True]
    assert cohorts.has_outcome(frame).tolist() == [False, False, True]


def test_words_for_unknown_are_no_class_no_site_and_are_listed(caplog):
    words = ["Not Reported", "'--", "[Discrepancy]"]
    people = pd.DataFrame({"patient": list("ABCD"), "label": [*words, "x"], "site": ["s", *words]})
    frame = cohorts.name_classes(cohorts.standard_sheet(people, {}, "p.tsv", "days"), {}, "column")
    assert cohorts.class_names(frame, {}) == ["x"]
    assert frame["site"].tolist() == ["s", "", "", ""]
    assert """p.tsv: label is unknown of 3: "'--" 1, 'Not Reported' 1, '[Discrepancy]' 1""" in caplog.text
    assert "p.tsv: site is unknown of 3" in caplog.text
    _, flow = assemble(frame, {"uni": index("a1 A", "b1 B", "c1 C", "d1 D")}, list("ABCD"), "p.tsv")
    reasons = {row["patient"]: row["reason"] for row in flow.dropped if row["step"] == "subtyping"}
    assert reasons["A"] == "label 'Not Reported' stands for unknown: kept for pretraining and survival"
    assert set(reasons) == set("ABC")
    assert flow.steps[-1] == {"step": "of these with a known site", "patients": 1, "slides": 1}


def test_a_class_of_a_word_for_unknown_and_a_patient_of_one_are_refused():
    frame = cohorts.standard_sheet(sheet(), {}, "p.tsv", "days")
    with pytest.raises(ConfigError, match="classes: 'Not Reported' stands for an unknown label"):
        cohorts.name_classes(frame, {"x": "ex", "Not Reported": "other"}, "none")
    with pytest.raises(InputError, match="a patient without a name: line 3: 'Unknown'"):
        cohorts.standard_sheet(sheet(patient=["A", "Unknown", "C"]), {}, "p.tsv", "days")


def test_an_institution_that_is_unknown_names_no_site():
    table = pd.DataFrame({"site": ["A6", "BB"], "institution": ["General", "Not Reported"]})
    assert institution_names(table, "i.tsv") == {"A6": "General"}


def test_tcgas_site_na_is_a_site():
    assert cohorts.barcode_sites(pd.Series(["TCGA-NA-A4QV"])).tolist() == ["NA"]


def test_an_event_written_as_a_decimal_counts():
    frame = cohorts.standard_sheet(sheet(event=["1.0", "0.0", ""]), {}, "p.tsv", "days")
    times, events = cohorts.survival_arrays(frame[cohorts.has_outcome(frame)])
    assert events.tolist() == [True, False]
    assert times.tolist() == [10.0, 20.0]


# Xena's tables.


def xena(**changes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    survival = pd.DataFrame(
        {
            "sample": ["TCGA-AA-0001-01", "TCGA-AA-0002-01", "TCGA-ZZ-9999-01", "TCGA-AA-0001-11"],
            "OS": ["1", "", "0", "0"],
            "OS.time": ["100", "", "5", "7"],
        }
        | changes
    )
    matrix = pd.DataFrame(
        {
            "sampleID": ["TCGA-AA-0001-11", "TCGA-AA-0002-01", "TCGA-AA-0001-01"],
            "histological_type": ["Normal", "ILC", "IDC"],
            "gender": ["", "FEMALE", "MALE"],
        }
    )
    return survival, matrix


def test_xenas_tables_become_one_row_per_patient_from_primary_tumours():
    frame = cohorts.xena_sheet(*xena(), "histological_type", "OS", "matrix.tsv", "os.tsv")
    assert frame["patient"].tolist() == ["TCGA-AA-0001", "TCGA-AA-0002"]
    assert frame["label"].tolist() == ["IDC", "ILC"]
    assert frame["sex"].tolist() == ["MALE", "FEMALE"]
    assert frame["time_days"].tolist()[0] == 100
    assert cohorts.has_outcome(frame).tolist() == [True, False]


def test_the_survival_table_of_all_cancers_adds_nobody():
    frame = cohorts.xena_sheet(*xena(), "histological_type", "OS", "matrix.tsv", "os.tsv")
    assert "TCGA-ZZ-9999" not in set(frame["patient"])


def vials(**second: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two vials of one patient: 01A knows the label alone, 01B what is given here."""
    survival = pd.DataFrame(
        {
            "sample": ["TCGA-AA-0001-01A", "TCGA-AA-0002-01", "TCGA-AA-0001-01B"],
            "OS": ["", "0", second.get("OS", "1")],
            "OS.time": ["[Not Available]", "50", second.get("time", "100")],
        }
    )
    matrix = pd.DataFrame(
        {
            "sampleID": ["TCGA-AA-0001-01A", "TCGA-AA-0001-01B", "TCGA-AA-0002-01"],
            "histological_type": ["IDC", second.get("label", ""), "ILC"],
            "age_at_initial_pathologic_diagnosis": ["", second.get("age", "61"), "62"],
        }
    )
    return survival, matrix


def test_what_one_vial_does_not_know_another_may():
    frame = cohorts.xena_sheet(*vials(), "histological_type", "OS", "matrix.tsv", "os.tsv")
    assert frame[["patient", "label", "age"]].to_numpy().tolist() == [
        ["TCGA-AA-0001", "IDC", "61"],
        ["TCGA-AA-0002", "ILC", "62"],
    ]
    assert frame[["time_days", "event"]].to_numpy().tolist() == [[100, 1], [50, 0]]
    survival, matrix = vials(label="IDC", age="61.0")
    matrix.loc[0, "age_at_initial_pathologic_diagnosis"] = "61"
    assert cohorts.xena_sheet(survival, matrix, "histological_type", "OS", "m.tsv", "os.tsv").equals(frame)


def test_vials_that_differ_are_refused():
    with pytest.raises(
        InputError, match=r"TCGA-AA-0001: histological_type is 'IDC' and 'ILC'; keep one value a patient"
    ):
        cohorts.xena_sheet(*vials(label="ILC"), "histological_type", "OS", "matrix.tsv", "os.tsv")
    survival, matrix = vials()
    survival.loc[0, ["OS", "OS.time"]] = ["0", "100.0"]
    with pytest.raises(InputError, match=r"os\.tsv: .* TCGA-AA-0001: OS is '0' and '1'"):
        cohorts.xena_sheet(survival, matrix, "histological_type", "OS", "matrix.tsv", "os.tsv")


def test_an_institution_per_site():
    table = pd.DataFrame({"site": ["A6", "A6", "A7", "A8"], "institution": ["Ulm", "Ulm", "NA", "Bonn"]})
    assert institution_names(table, "i.tsv") == {"A6": "Ulm", "A8": "Bonn"}
    with pytest.raises(InputError, match=r"i\.tsv: sites with two institutions: A6"):
        institution_names(table.assign(institution=["Ulm", "Kiel", "", ""]), "i.tsv")


def test_xenas_missing_columns_are_named():
    with pytest.raises(InputError, match=r"os\.tsv: the survival table lacks DSS, DSS.time; it has sample, OS"):
        cohorts.xena_sheet(*xena(), "histological_type", "DSS", "matrix.tsv", "os.tsv")
    with pytest.raises(InputError, match=r"matrix\.tsv: the clinicalMatrix lacks PAM50"):
        cohorts.xena_sheet(*xena(), "PAM50", "OS", "matrix.tsv", "os.tsv")


def test_a_bad_value_in_xenas_tables_names_the_patient():
    tables = xena(**{"OS.time": ["100", "-3", "5", "7"]})
    with pytest.raises(InputError, match=r"^os\.tsv: a negative time: TCGA-AA-0002: '-3'"):
        cohorts.xena_sheet(*tables, "histological_type", "OS", "matrix.tsv", "os.tsv")


@pytest.mark.parametrize(("column", "value"), [("OS.time", "soon"), ("OS", "2"), ("OS", "dead")])
def test_a_bad_outcome_names_the_survival_table(column, value):
    tables = xena(**{column: ["1", value, "1", "0"]})
    with pytest.raises(InputError, match=rf"^os\.tsv: .*TCGA-AA-0002: '{value}'"):
        cohorts.xena_sheet(*tables, "histological_type", "OS", "matrix.tsv", "os.tsv")


def test_unknown_outcomes_are_logged_with_the_survival_table(caplog):
    tables = xena(OS=["1", "NA", "0", "0"])
    tables[1]["histological_type"] = ["IDC", "ILC", "[Not Available]"]
    cohorts.xena_sheet(*tables, "histological_type", "OS", "matrix.tsv", "os.tsv")
    said = [record.message for record in caplog.records]
    assert any(line.startswith("os.tsv: event is unknown of 1") for line in said)
    assert any(line.startswith("matrix.tsv: label is unknown of 1") for line in said)


# Patients of whom there is no primary tumour.


def test_samples_of_other_types_alone_are_told_from_patients_who_are_not_there():
    samples = ["TCGA-AA-0001-01", "TCGA-AA-0001-06", "TCGA-D3-0002-06A", "TCGA-D3-0003-11", "TCGA-D3-0003-06", "P-7"]
    aside = without_primary(samples)
    assert aside == {"TCGA-D3-0002": "06 (metastasis)", "TCGA-D3-0003": "06 (metastasis), 11 (normal tissue)"}
    slides = index("a1 A", "m1 TCGA-D3-0002", "n1 nobody")
    _, flow = assemble(patients(), {"uni": slides}, list("A"), "p.tsv", aside)
    reasons = {row["patient"]: row["reason"] for row in flow.dropped if row["step"] == "clinical data"}
    assert reasons == {
        "TCGA-D3-0002": "slide of a patient whose samples are 06 (metastasis) alone: primary tumours (01) are taken",
        "nobody": "slide of a patient who is not in the sheet",
    }


# Classes and sites.


def test_codes_of_which_a_spreadsheet_took_the_zero_are_said():
    patients = ["TCGA-05-4244", "TCGA-05-4245", "TCGA-A6-2671", "TCGA-06-0001", "hospital-7"]
    frame = pd.DataFrame({"patient": patients, "site": ["5", "5", "A6", "", "7"]})
    said = differing_codes(frame)
    assert said.startswith("sites of 2 patients are not their barcodes': '5' for '05' (2 patients); a spreadsheet")
    assert "take `site: barcode`" in said
    assert differing_codes(frame.assign(site=["05", "05", "A6", "", "7"])) == ""
    assert differing_codes(frame.assign(site=["Indivumed", "Indivumed", "Christiana", "", "x"])) == ""
    other = differing_codes(frame.assign(site=["05", "A6", "05", "", "7"]))
    assert "'05' for 'A6' (1 patients), 'A6' for '05' (1 patients); take" in other


def test_a_table_of_institutions_that_lost_its_zeros_is_said():
    sites = pd.Series(["05", "05", "A6", "5Z"])
    assert "lacks 05 and has 5: a spreadsheet" in unnamed_codes(sites, {"5": "Indivumed", "A6": "Christiana"})
    assert unnamed_codes(sites, {"05": "Indivumed"}) == ""


@pytest.mark.parametrize(
    ("sites", "institutions", "said"),
    [
        (["Basel", "BASEL", "", "Bern"], {}, "site 'BASEL' and 'Basel' differ in case only"),
        (["a1", "A1"], {"A1": "General"}, "site 'A1' and 'a1' differ in case only"),
        (["A1", "B2"], {"A1": "General", "B2": "general"}, "site 'General' and 'general' differ in case only"),
        (["a1", "A1"], {"a1": "General", "A1": "General"}, ""),
        (["Basel", "Basel", "", "Bern"], {}, ""),
    ],
)
def test_a_site_written_in_two_cases_is_told(sites, institutions, said):
    """Folds that keep sites apart had one hospital on both sides."""
    told = sites_in_two_cases(pd.Series(sites), institutions)
    assert [line.split(";")[0] for line in told] == [said] * bool(said)


def test_a_cohort_with_a_site_written_in_two_cases_is_refused(tmp_path):
    own, table = tmp_path / "p.tsv", tmp_path / "i.tsv"
    own.write_text("patient\tlabel\tsite\nA\tx\tBasel\nB\ty\tbs\n")
    table.write_text("site\tinstitution\nbs\tBASEL\n")
    clinical = {"sheet": str(own), "columns": {}, "time_unit": "days"}
    settings = {"classes": {}, "site": "column", "institutions": str(table)}
    outputs = Outputs(*(tmp_path / name for name in ("cohort.parquet", "dropped.tsv", "flow.tsv")))
    with pytest.raises(InputError, match=r"p\.tsv, .*i\.tsv: site 'BASEL' and 'Basel' differ in case only; write one"):
        build_cohort(clinical, settings, {}, None, outputs)


def test_classes_rename_labels_and_drop_the_others():
    frame = cohorts.standard_sheet(sheet(), {}, "p.tsv", "days")
    named = cohorts.name_classes(frame, {"x": "ex", "z": "zed"}, "none")
    assert named["label"].tolist() == ["ex", "", ""]
    assert named["sheet_label"].tolist() == ["x", "y", ""]
    assert cohorts.class_names(named, {"x": "ex", "z": "zed"}) == ["ex", "zed"]


def test_two_labels_may_be_one_class():
    assert cohorts.class_names(sheet(), {"x": "one", "y": "one", "z": "two"}) == ["one", "two"]


def test_without_classes_every_label_is_a_class_in_the_order_of_the_alphabet():
    assert cohorts.class_names(sheet(label=["b", "", "a"]), {}) == ["a", "b"]


def test_sites_come_from_the_barcode_the_sheet_or_nowhere():
    frame = pd.DataFrame({"patient": ["TCGA-A6-2671", "hospital-7"], "label": "", "site": ["s1", "s2"]})
    assert cohorts.name_classes(frame, {}, "barcode")["site"].tolist() == ["A6", ""]
    assert cohorts.name_classes(frame, {}, "column")["site"].tolist() == ["s1", "s2"]
    assert cohorts.name_classes(frame, {}, "none")["site"].tolist() == ["", ""]


# The join.


def test_the_join_keeps_who_has_everything_and_counts_who_has_not():
    slides = index("a1 A", "a2 A", "b1 B", "d1 D")
    frame, flow = assemble(patients(), {"uni": slides}, ["A", "C"], "p.tsv")
    assert frame["patient"].tolist() == ["A"]
    assert frame["slide_ids"].tolist() == [["a1", "a2"]]
    assert flow.dropped == [
        {
            "step": "clinical data",
            "patient": "D",
            "slide_id": "d1",
            "reason": "slide of a patient who is not in the sheet",
        },
        {"step": "slides", "patient": "C", "slide_id": "", "reason": "no slide with features"},
        {"step": "expression", "patient": "B", "slide_id": "", "reason": "no expression"},
    ]
    assert [(step["step"], step["patients"], step["slides"]) for step in flow.steps] == [
        ("patients in the sheet", 3, 3),
        ("with slides", 2, 3),
        ("with slides and expression", 1, 2),
        ("of these with a label (subtyping)", 1, 2),
        ("of these with a known outcome (survival)", 1, 2),
    ]


def test_a_slide_counts_when_every_encoder_has_features_of_it():
    uni = index("a1 A", "a2 A failed cannot be read", "b1 B")
    phikon = index("a1 A", "a2 A", "b1 B no_tissue mask is empty", "c1 C")
    frame, flow = assemble(patients(), {"uni": uni, "phikon": phikon}, list("ABC"), "p.tsv")
    assert frame["slide_ids"].tolist() == [["a1"]]
    reasons = {(row["step"], row["slide_id"]): row["reason"] for row in flow.dropped if row["slide_id"]}
    assert reasons == {
        ("features of uni", "a2"): "failed: cannot be read",
        ("features of phikon", "b1"): "no_tissue: mask is empty",
        ("features of uni", "c1"): "missing: not in its index",
    }


def test_every_patient_of_the_sheet_is_kept_or_dropped_with_a_reason():
    frame, flow = assemble(patients(), {"uni": index("a1 A", "b1 B")}, ["A"], "p.tsv")
    lost = {row["patient"] for row in flow.dropped if row["step"] in ("slides", "expression")}
    assert set(frame["patient"]) | lost == set("ABC")
    assert set(frame["patient"]) & lost == set()


def test_unknown_label_and_outcome_are_kept_for_pretraining_and_counted():
    people = patients(label=["", "x", "y"], time=["", "0", "30"], event=["", "1", "1"])
    frame, flow = assemble(people, {"uni": index("a1 A", "b1 B", "c1 C")}, list("ABC"), "p.tsv")
    assert frame["patient"].tolist() == list("ABC")
    assert frame["time_days"].isna().tolist() == [True, False, False]
    assert cohorts.eligible(frame, "subtyping").tolist() == [False, True, True]
    assert cohorts.eligible(frame, "survival").tolist() == [False, False, True]
    assert {(row["step"], row["patient"], row["reason"]) for row in flow.dropped} == {
        ("subtyping", "A", "no label: kept for pretraining and survival"),
        ("survival", "A", "outcome unknown: kept for pretraining and subtyping"),
        ("survival", "B", "follow-up of 0 days: kept for pretraining and subtyping"),
    }


def test_a_label_outside_the_classes_is_named_as_the_reason():
    people = cohorts.name_classes(cohorts.standard_sheet(sheet(), {}, "p.tsv", "days"), {"x": "ex"}, "none")
    _, flow = assemble(people, {"uni": index("a1 A", "b1 B", "c1 C")}, list("ABC"), "p.tsv")
    reasons = {row["patient"]: row["reason"] for row in flow.dropped if row["step"] == "subtyping"}
    assert reasons["B"].startswith("label 'y' is not among `classes`")
    assert reasons["C"].startswith("no label")


@pytest.mark.parametrize(("slides", "rna"), [(["z1 Z"], ["A"]), (["a1 A"], ["TCGA-1", "TCGA-2"]), (["a1 A"], [])])
def test_a_join_that_leaves_nobody_shows_names_of_each_side(slides, rna):
    with pytest.raises(InputError, match=r"p\.tsv: nobody has slides, clinical data and expression") as caught:
        assemble(patients(), {"uni": index(*slides)}, rna, "p.tsv")
    assert "clinical data name A, B, C" in str(caught.value)
    assert slides[0].split()[1] in str(caught.value)
    assert (", ".join(rna) or "nobody") in str(caught.value)


# Units.


def test_units_are_patients_or_their_slides():
    slides = index("a1 A", "a2 A", "b1 B")
    frame, _ = assemble(patients(), {"uni": slides}, list("ABC"), "p.tsv")
    by_patient, by_slide = cohorts.to_units(frame, "patient"), cohorts.to_units(frame, "slide")
    assert by_patient["unit"].tolist() == ["A", "B"]
    assert by_patient["slide_id"].tolist() == ["", ""]
    assert by_patient["slide_ids"].tolist() == [["a1", "a2"], ["b1"]]
    assert by_slide["unit"].tolist() == by_slide["slide_id"].tolist() == ["a1", "a2", "b1"]
    assert by_slide["slide_ids"].tolist() == [["a1"], ["a2"], ["b1"]]
    assert by_slide["patient"].tolist() == ["A", "A", "B"]
    assert by_slide["time_days"].tolist() == [10, 10, 20]


def test_units_leave_the_cohort_as_it_was():
    frame, _ = assemble(patients(), {"uni": index("a1 A", "a2 A")}, ["A"], "p.tsv")
    before = frame.copy(deep=True)
    cohorts.to_units(frame, "slide")
    cohorts.to_units(frame, "patient")
    pd.testing.assert_frame_equal(frame, before)


def test_survival_arrays_have_the_types_that_libraries_want():
    frame = pd.DataFrame({"time_days": [1, 2], "event": [0.0, 1.0]})
    times, events = cohorts.survival_arrays(frame)
    assert times.dtype == np.float64
    assert events.dtype == np.bool_
