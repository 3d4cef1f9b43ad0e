"""Sheets as people have them: what is recognised is said, what can be meant in two ways is refused by name."""

import datetime
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.cohorts.patients import TIME_UNITS, Written, standard_sheet
from mirrorflow.cohorts.written import Said
from mirrorflow.errors import InputError
from mirrorflow.report.cohorts import CohortTables, cohorts_section
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet
from mirrorflow.store.excel import as_text, read_excel
from mirrorflow.store.sheet_rows import patients_digest, slide_ids
from mirrorflow.store.sheets import read_sheet
from mirrorflow.store.slide_sheet import read_slide_sheet
from mirrorflow.store.tables import read_cohort, read_converted, read_users_sheet, write_cohort
from mirrorflow.units import DAYS_PER_MONTH


def written(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.tsv", "patient\tage\nA\t6\n", []),
        ("p.csv", "patient,age\nA,6\n", []),
        ("p.csv", "patient;age\nA;6\n", ["separated by semicolons"]),
        ("p.csv", "patient\tage\nA\t6\n", ["separated by tabs"]),
        ("p.tsv", "patient,age\nA,6\n", ["separated by commas"]),
        ("p.txt", "patient;age\nA;6\n", ["separated by semicolons"]),
        ("p.csv", "patient;age, years\nA;6\n", ["separated by semicolons"]),
        ("p.csv", "\ufeffpatient;age\nA;6\n", ["separated by semicolons"]),
        (
            "p.txt",
            "#Patient Id\tAge\n#STRING\tNUMBER\npatient\tage\nA\t6\n",
            ["2 lines of # above the header left out"],
        ),
    ],
)
def test_what_separates_the_cells_is_recognised_and_said(tmp_path, name, text, said):
    sheet = read_sheet(written(tmp_path, name, text))
    assert (sheet.header[0], [cells for _, cells in sheet.rows]) == ("patient", [["A", "6"]])
    assert list(sheet.said) == said


def test_lines_keep_their_numbers(tmp_path):
    sheet = read_sheet(written(tmp_path, "p.txt", "#a\n#b\npatient\tage\n\nA\t6\n"))
    assert sheet.rows == [(5, ["A", "6"])]


def test_a_header_that_two_separators_split_is_refused(tmp_path):
    path = written(tmp_path, "p.txt", "patient;age, years\nA;6,5\n")
    with pytest.raises(InputError, match=r"can be separated by commas or semicolons; save it with one separator"):
        read_sheet(path)


def test_windows_1252_is_read_and_said(tmp_path):
    sheet = read_sheet(written(tmp_path, "p.csv", "patient;site\nA;Köln\n", "cp1252"))
    assert sheet.rows[0][1] == ["A", "Köln"]
    assert sheet.said[0] == "read as Windows-1252: 1 letters beyond ASCII"


@pytest.mark.parametrize("data", ["patient\tsite\nA\tKöln\n".encode("utf-16"), b"patient\tsite\nA\t\x81\n"])
def test_other_encodings_are_refused(tmp_path, data):
    (tmp_path / "p.tsv").write_bytes(data)
    with pytest.raises(InputError, match="save it as UTF-8"):
        read_sheet(tmp_path / "p.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient\nA\n", "a single column 'patient'; columns must be separated by tabs, commas or semicolons"),
        ("patient\tage\nA\t1\t2\n", "line 2: its lines have more cells than its header"),
        ("patient\tage\tage\nA\t1\t2\n", "columns named twice: age"),
        ("", "the sheet is empty"),
    ],
)
def test_what_is_no_sheet_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_users_sheet(written(tmp_path, "p.tsv", text))


NAMELESS = "2 columns without a name are not read; line 3 has 'note' in the first"


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("patient;time;event;;\nA;10;1;;\nB;12;0;;\n", ["patient", "time", "event"], []),
        (";patient;time;event\n1;A;10;1\n2;B;12;0\n", ["", "patient", "time", "event"], []),
        (";patient;time;event;\n1;A;10;1;\n2;B;12;0;\n", ["", "patient", "time", "event"], []),
        ("patient;time;event;;\nA;10;1;;\nB;12;0;note;2\n", ["patient", "time", "event"], [NAMELESS]),
    ],
)
def test_columns_without_a_name_are_left_out_where_they_are_empty_or_several(tmp_path, text, columns, said):
    """Two of them ended in a TypeError."""
    path = written(tmp_path, "p.csv", text)
    sheet, _, told = read_users_sheet(path)
    assert sheet.columns.tolist() == columns
    assert [line.partition(": ")[2] for line in told] == ["separated by semicolons", *said]
    frame = clinical_sheet({"sheet": str(path), "columns": {}, "time_unit": "days"})
    assert frame["time_days"].tolist() == [10, 12]


def test_the_one_column_without_a_name_may_be_that_of_patients(tmp_path):
    """R's write.csv puts the names of rows there."""
    path = written(tmp_path, "p.csv", '"","time","event"\n"A",10,1\n"B",12,0\n')
    frame = clinical_sheet({"sheet": str(path), "columns": {"patient": ""}, "time_unit": "days"})
    assert frame["patient"].tolist() == ["A", "B"]


def test_a_workbook_may_have_formatted_cells_beside_its_header(tmp_path):
    path = workbook(tmp_path / "p.xlsx", people=[["patient", "time", "event"], ["A", 10, 1], ["B", 12, 0]])
    rewrite(path, "</row>", '<c r="F1" s="0"></c></row>')
    frame = clinical_sheet({"sheet": str(path), "columns": {}, "time_unit": "days"})
    assert frame["time_days"].tolist() == [10, 12]


def people(**columns: list[str]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"patient": [f"P{n}" for n in range(count)], **columns}, dtype=str)


def read(sheet: pd.DataFrame, columns=None, **how) -> tuple[pd.DataFrame, list[str]]:
    said = Said("p.csv")
    unit = how.get("time_unit", "days")
    return standard_sheet(sheet, columns or {}, "p.csv", unit, Written(**how), said), said.lines


def test_decimal_commas_are_read_and_counted():
    frame, said = read(people(time=["1,5", "2", "NA"], event=["1", "0", ""], age=["61,25", "70,5", "8"]))
    assert frame["time_days"].tolist()[:2] == [1.5, 2.0]
    assert frame["age"].tolist() == ["61.25", "70.5", "8"]
    assert said == ["p.csv: time: 1 decimal commas read as points", "p.csv: age: 2 decimal commas read as points"]


def test_commas_that_may_part_thousands_are_refused():
    with pytest.raises(InputError, match=r"p.csv: time: '1,234' may be 1.234 or 1234: every comma stands before three"):
        read(people(time=["1,234", "20"]))
    frame, _ = read(people(time=["1,234", "2,5"]))
    assert frame["time_days"].tolist() == [1.234, 2.5]


def test_a_time_with_points_and_commas_says_how_to_write_it():
    with pytest.raises(InputError, match=r"time is not a number: line 2: '1\.234,5'; write points for decimals"):
        read(people(time=["1.234,5", "20"]))


@pytest.mark.parametrize("time", [["1.234", "2.001", "987", ""], ["1.234", "12.001"], ["1.234", "912", "365"]])
def test_points_that_may_part_thousands_of_days_are_refused(time):
    with pytest.raises(InputError, match=r"p\.csv: time: '1\.234' may be 1\.234 or 1234 days: every point"):
        read(people(time=time))
    frame, _ = read(people(time=time), time_unit="months")
    assert frame["time_days"].iloc[0] == pytest.approx(1.234 * DAYS_PER_MONTH)


@pytest.mark.parametrize(
    "time", [["1.5", "2.25"], ["1.234", "2.5", "9"], ["243.500", "1.125"], ["0.125", "1.375", "2"],
             ["1.234", "2.001", "987.0"]],
)  # fmt: skip
def test_decimals_of_days_are_read(time):
    frame, said = read(people(time=time))
    assert frame["time_days"].tolist() == [float(cell) for cell in time]
    assert said == []


def test_commas_of_other_columns_stay_where_they_are_no_numbers():
    frame, said = read(people(note=["left, upper", "1,2"], genes=["1,2", "1.5"]))
    assert frame["note"].tolist() == ["left, upper", "1,2"]
    assert frame["genes"].tolist() == ["1,2", "1.5"]
    assert said == []


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (["yes", "no"], [1, 0]),
        (["Dead", "ALIVE"], [1, 0]),
        (["deceased", "living"], [1, 0]),
        (["1:DECEASED", "0:LIVING"], [1, 0]),
        (["1:Recurred/Progressed", "0:DiseaseFree"], [1, 0]),
        (["1", "0"], [1, 0]),
        (["true", "FALSE"], [1, 0]),
    ],
)
def test_words_for_an_event_are_read_by_the_list(words, events):
    frame, said = read(people(time=["5", "6"], event=words))
    assert frame["event"].tolist() == events
    assert bool(said) == (words != ["1", "0"])


def test_words_that_were_read_are_counted():
    _, said = read(people(time=["5", "6", "7"], event=["yes", "yes", "no"]))
    assert said == ["p.csv: event: 3 words read: yes as 1 (2), no as 0 (1)"]


def test_words_of_ones_own_are_declared():
    with pytest.raises(InputError, match=r"event is not a number: line 2: 'exitus'; say what it means: event_words"):
        read(people(time=["5"], event=["exitus"]))
    frame, _ = read(people(time=["5", "6"], event=["Exitus", "2"]), event_words={"exitus": 1, "2": 0})
    assert frame["event"].tolist() == [1, 0]


@pytest.mark.parametrize("words", [{"1": 0, "2": 1}, {"1.0": 0, "2.0": 1}])
def test_codes_are_read_with_a_point_too(words):
    """pandas writes 2.0 where a cell of the column is empty; 1.0 alone was understood."""
    for cells in (["1.0", "2.0", ""], ["1", "2", ""]):
        assert read(people(time=["5", "6", "7"], event=cells), event_words=words)[0]["event"].tolist()[:2] == [0, 1]
    with pytest.raises(InputError, match=r"event is not 0 or 1: line 3: '2\.0'; say what it means: event_words"):
        read(people(time=["5", "6"], event=["1.0", "2.0"]))


@pytest.mark.parametrize("word", ["none", "None", "-", "NA"])
def test_a_declared_word_counts_although_it_stands_for_unknown_elsewhere(word):
    sheet = people(time=["5", "6", "7"], event=[word, "relapse", ""])
    frame, said = read(sheet, event_words={word.lower(): 0, "relapse": 1})
    assert frame["event"].fillna(9).tolist() == [0, 1, 9]
    assert said == [f"p.csv: event: 2 words read: {word} as 0 (1), relapse as 1 (1)"]


def test_a_word_for_unknown_that_may_mean_no_event_is_said():
    frame, said = read(people(time=["5", "6", "7"], event=["none", "NA", "1"]))
    assert frame["event"].fillna(9).tolist() == [9, 9, 1]
    assert said == ["p.csv: event: 1 unknown: 'none' 1; where that means no event: event_words"]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("os_censorship", ["1", "0"]),
        ("censored", ["1.0", "0.0"]),
        ("alive", ["yes", "no"]),
        ("Is living", ["TRUE", "FALSE"]),
        ("zensiert", ["1", ""]),
        ("cens", ["1", "0"]),
        ("os_cens", ["1", "0"]),
        ("OS.cens", ["1", "0"]),
        ("censure", ["1", "0"]),
        ("Zensur", ["1", "0"]),
        ("am_leben", ["1", "0"]),
        ("am Leben", ["yes", "no"]),
    ],
)
def test_an_event_whose_columns_name_says_the_opposite_is_refused_until_declared(column, cells):
    sheet = people(time=["5", "6"]).assign(**{column: cells})
    with pytest.raises(InputError, match=rf"event is the column {column}, in which '{cells[0]}' may mean that no"):
        read(sheet, {"event": column})
    words = {"yes": 0, "no": 1, "true": 0, "false": 1, "1": 0, "0": 1}
    frame, _ = read(sheet, {"event": column}, event_words=words)
    assert frame["event"].fillna(9).tolist() == [0, 1 if cells[1] else 9]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("os_event", ["1", "0"]),
        ("OS_STATUS", ["1:DECEASED", "0:LIVING"]),
        ("alive or dead", ["dead", "alive"]),
        ("uncensored", ["1", "0"]),
        ("un_cens", ["1", "0"]),
        ("unzensiert", ["1", "0"]),
        ("nicht zens.", ["1", "0"]),
        ("nicht am Leben", ["1", "0"]),
        ("consensus_event", ["1", "0"]),
        ("Lizenz_event", ["1", "0"]),
        ("survival_status", ["1", "0"]),
        ("censored", ["died", "censored"]),
    ],
)
def test_events_that_say_what_they_mean_are_read(column, cells):
    frame, _ = read(people(time=["5", "6"]).assign(**{column: cells}), {"event": column})
    assert frame["event"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("column", "unit"),
    [("OS_Monate", "months"), ("survival_mo", "months"), ("os_yrs", "years"), ("Jahre", "years"), ("Tage", "days")],
)
def test_a_unit_in_the_name_of_the_times_column_is_held_against_the_config(column, unit):
    sheet = people(event=["1"]).assign(**{column: ["5"]})
    assert read(sheet, {"time": column}, time_unit=unit)[0]["time_days"].tolist() == [5 * TIME_UNITS[unit]]
    other = "months" if unit == "days" else "days"
    with pytest.raises(InputError, match=f"the column {column}, and time_unit is {other}; set time_unit: {unit}"):
        read(sheet, {"time": column}, time_unit=other)


def test_weeks_are_refused_and_names_without_a_unit_are_not():
    with pytest.raises(InputError, match="time is the column os_weeks; give days, months or years"):
        read(people(event=["1"], os_weeks=["5"]), {"time": "os_weeks"})
    for name in ("time", "moment", "stage_time", "amount", "Vortag_x"):
        assert read(people(event=["1"]).assign(**{name: ["5"]}), {"time": name})[0]["time_days"].tolist() == [5]


def test_an_event_whose_halves_contradict_is_refused():
    with pytest.raises(InputError, match=r"event: '1:LIVING': LIVING is no 1; correct it, or set `event_words`"):
        read(people(time=["5"], event=["1:LIVING"]))


@pytest.mark.parametrize("word", ["[Not Available]", "'--", "Not Reported", "NA", "[Discrepancy]"])
def test_unknown_words_of_gdc_and_cbioportal_are_no_event(word):
    frame, _ = read(people(time=["5"], event=[word]))
    assert frame["event"].isna().all()


DATES = {"start": "diagnosis", "end": "last seen"}


def dated(starts: list[str], ends: list[str]) -> pd.DataFrame:
    return people(diagnosis=starts, event=["1"] * len(starts)).assign(**{"last seen": ends})


@pytest.mark.parametrize(
    ("starts", "ends", "days"),
    [
        (["2020-02-01"], ["2020-03-01"], [29]),
        (["01.02.2020", "13.02.2020"], ["02.02.2020", "14.02.2020"], [1, 1]),
        (["02/01/2020", "02/13/2020"], ["02/02/2020", "02/14/2020"], [1, 1]),
        (["2020-02-01 00:00:00"], ["2020-02-11"], [10]),
    ],
)
def test_two_dates_make_a_time(starts, ends, days):
    frame, said = read(dated(starts, ends), DATES, time_unit="months")
    assert frame["time_days"].tolist() == days
    assert f"diagnosis to last seen: {len(days)} times as days between dates" in said[0]


def test_a_date_that_is_not_known_makes_no_time():
    frame, _ = read(dated(["2020-02-01", ""], ["NA", "2020-02-01"]), DATES)
    assert frame["time_days"].isna().all()


@pytest.mark.parametrize(
    ("time", "unit", "days"),
    [("36525", "months", 0), ("110", "years", 0), ("40001", "days", 0), ("109", "years", 39812)],
)
def test_a_time_longer_than_any_follow_up_is_refused(time, unit, days):
    """Dates that a spreadsheet turned into numbers, days under another unit."""
    if days:
        assert read(people(time=[time]), time_unit=unit)[0]["time_days"].astype(int).tolist() == [days]
        return
    said = rf"p\.csv: a time of more than 40,000 days: line 2: '{time}'; time_unit is {unit}, set that of the column"
    with pytest.raises(InputError, match=said):
        read(people(time=[time]), time_unit=unit)


def test_a_date_that_stands_for_an_open_end_is_refused():
    with pytest.raises(InputError, match=r"line 3: '2914998'.*leave an open end empty"):
        read(dated(["2019-01-01", "2019-01-02"], ["2020-01-01", "9999-12-31"]), DATES)


def test_a_date_that_can_be_meant_both_ways_is_refused_and_can_be_declared():
    sheet = dated(["01.02.2020"], ["03.02.2020"])
    with pytest.raises(InputError, match=r"diagnosis and last seen: '01.02.2020' may have the day or the month first"):
        read(sheet, DATES)
    assert read(sheet, DATES, dates="day_first")[0]["time_days"].tolist() == [2]
    assert read(sheet, DATES, dates="month_first")[0]["time_days"].tolist() == [60]


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        (["13.02.2020"], ["02.13.2020"], "'13.02.2020' has the day first and '02.13.2020' the month"),
        (["31.02.2020"], ["01.03.2020"], "'31.02.2020' is no date"),
        (["Feb 2020"], ["2020-03-01"], "'Feb 2020' is no date; write 2020-02-01"),
        (["2020-03-01"], ["2020-02-01"], "a negative time: line 2: '-29'"),
    ],
)
def test_what_is_no_date_is_refused_by_name(starts, ends, message):
    with pytest.raises(InputError, match=message):
        read(dated(starts, ends), DATES)


def test_dates_and_a_time_do_not_go_together():
    with pytest.raises(InputError, match="start and end of follow-up go together, without `time`; it names start"):
        read(dated(["2020-01-01"], ["2020-01-02"]), {"start": "diagnosis"})


@pytest.mark.parametrize(("column", "unit", "asked"), [("OS_MONTHS", "days", "months"), ("days_to", "months", "days")])
def test_a_column_named_by_another_unit_is_refused(column, unit, asked):
    with pytest.raises(InputError, match=f"set time_unit: {asked}"):
        read(people(**{column: ["5"]}), {"time": column}, time_unit=unit)


CBIOPORTAL = (
    "#Patient Identifier\tOverall Survival Status\tOverall Survival (Months)\tCancer Type Detailed\n"
    "#Identifier\tStatus\tMonths\tType\n#STRING\tSTRING\tNUMBER\tSTRING\n#1\t1\t1\t1\n"
    "PATIENT_ID\tOS_STATUS\tOS_MONTHS\tSUBTYPE\n"
    "TCGA-AA-0001\t0:LIVING\t10.5\tLUAD\nTCGA-AA-0002\t1:DECEASED\t2\tLUSC\nTCGA-AA-0003\t\t[Not Available]\t\n"
)


def test_an_export_of_cbioportal_is_read_as_it_is(tmp_path):
    columns = {"patient": "PATIENT_ID", "event": "OS_STATUS", "time": "OS_MONTHS", "label": "SUBTYPE"}
    path = str(written(tmp_path, "data_clinical_patient.txt", CBIOPORTAL))
    said: list[str] = []
    frame = clinical_sheet({"sheet": path, "columns": columns, "time_unit": "months"}, said)
    assert frame["event"].tolist()[:2] == [0, 1]
    assert frame["time_days"].round(1).tolist()[:2] == [319.6, 60.9]
    assert frame.loc[2, ["time_days", "event"]].isna().all()
    assert [line.partition(": ")[2] for line in said] == [
        "4 lines of # above the header left out",
        "event: 2 words read: 0:LIVING as 0 (1), 1:DECEASED as 1 (1)",
    ]


def test_what_was_converted_stands_in_the_cohort_and_in_the_report(tmp_path):
    frame = pd.DataFrame({"patient": ["A"], "label": ["x"], "time_days": [1.0], "event": [1.0], "site": ["s"]})
    frame["slide_ids"] = [["s1"]]
    write_cohort(tmp_path / "c.parquet", frame, ["x"], converted=["p.csv: separated by semicolons"])
    assert read_converted(tmp_path / "c.parquet") == ["p.csv: separated by semicolons"]
    flow = pd.DataFrame({"step": ["in"], "patients": [1], "slides": [1]})
    dropped = pd.DataFrame(columns=["step", "reason", "patient", "slide_id"])
    tables = CohortTables(*read_cohort(tmp_path / "c.parquet"), flow, dropped, "", ["p.csv: separated by semicolons"])
    section = cohorts_section({"c": tables}, {})
    assert "How the sheets were read: p.csv: separated by semicolons." in [
        getattr(block, "text", "") for block in section.blocks
    ]
    write_cohort(tmp_path / "plain.parquet", frame, ["x"])
    assert read_converted(tmp_path / "plain.parquet") == []


def test_slides_may_stand_in_such_a_sheet_too(tmp_path):
    path = written(tmp_path, "slides.csv", "slide_id;patient;mpp\ns1;Müller;0,2527\n", "cp1252")
    (row,) = read_slide_sheet(path)
    assert (row.slide_id, row.patient, row.mpp) == ("s1", "Müller", 0.2527)
    assert slide_ids(str(path), {}) == ["s1"]
    assert patients_digest(str(path), {}) == patients_digest(
        str(written(tmp_path, "same.tsv", "slide_id\tpatient\ns1\tMüller\n")), {}
    )


# Excel


def test_cells_of_excel_become_text_as_a_sheet_would_have_it():
    cells = [None, 3.0, 2.5, True, datetime.datetime(2020, 2, 1), datetime.date(2020, 2, 1), "x"]
    assert [as_text(cell) for cell in cells] == ["", "3", "2.5", "1", "2020-02-01", "2020-02-01", "x"]


def test_without_openpyxl_the_fix_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = written(tmp_path, "p.xlsx", "x")
    with pytest.raises(
        InputError, match=r"needs openpyxl: pip install 'mirrorflow\[excel\]'; or save the sheet as CSV"
    ):
        read_excel(path)


def test_the_old_format_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"Excel's old format; save it as \.xlsx"):
        read_excel(written(tmp_path, "p.xls", "x"))
    with pytest.raises(InputError, match="not there"):
        read_excel(tmp_path / "none.xlsx")


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        one = book.create_sheet(name)
        for row in rows:
            one.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_like_a_sheet(tmp_path):
    rows = [["patient", "age", "seen"], ["A", 61.0, datetime.date(2020, 2, 1)], [None, None, None], ["B", 7.5, None]]
    sheet = read_sheet(workbook(tmp_path / "p.xlsx", people=rows, empty=[]))
    assert sheet.header == ["patient", "age", "seen"]
    assert sheet.rows == [(2, ["A", "61", "2020-02-01"]), (4, ["B", "7.5", ""])]


FIRST = "xl/worksheets/sheet1.xml"


def first_worksheet(path: Path) -> str:
    with zipfile.ZipFile(path) as book:
        return book.read(FIRST).decode()


def rewrite(path: Path, old: str, new: str) -> None:
    """Put other text into the first worksheet's XML."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    assert old in parts[FIRST]
    parts[FIRST] = parts[FIRST].replace(old, new)
    with zipfile.ZipFile(path, "w") as book:
        for part, text in parts.items():
            book.writestr(part, text)


@pytest.mark.parametrize("stated", ["A1", "A1:D2", "A1:B4", "A1:Z99"])
def test_a_size_that_the_workbook_states_wrongly_loses_nothing(tmp_path, stated):
    """Programs that write cell by cell state A1: rows and columns were missing without a word."""
    rows = [["patient", "label", "time", "event"], ["A", "x", 10, 1], ["B", "y"], ["C", "x", 12, 0]]
    path = workbook(tmp_path / "p.xlsx", people=rows)
    rewrite(path, '<dimension ref="A1:D4"', f'<dimension ref="{stated}"')
    sheet = read_sheet(path)
    assert sheet.header == ["patient", "label", "time", "event"]
    assert [cells for _, cells in sheet.rows] == [["A", "x", "10", "1"], ["B", "y", "", ""], ["C", "x", "12", "0"]]


def test_slides_of_such_a_workbook_may_lack_the_last_cells(tmp_path):
    path = workbook(tmp_path / "s.xlsx", slides=[["slide_id", "patient", "mpp"], ["s1", "A", 0.25], ["s2", "B"]])
    rewrite(path, '<dimension ref="A1:C3"', '<dimension ref="A1"')
    assert [(row.patient, row.mpp) for row in read_slide_sheet(path)] == [("A", 0.25), ("B", None)]


def test_a_formula_beyond_the_stated_size_is_refused_too(tmp_path):
    path = workbook(tmp_path / "p.xlsx", people=[["patient", "time"], [], ["A", "=100+20"], ["B"]])
    rewrite(path, '<dimension ref="A1:B4"', '<dimension ref="A1"')
    with pytest.raises(InputError, match=r"1 formulas without a value \(B3\)"):
        read_sheet(path)


FORMULA = '<c r="B2"><f>100+20</f><v></v></c>'


def test_formulas_without_a_value_are_refused_by_address(tmp_path):
    rows = [["patient", "time", "event"], ["A", "=100+20", 1], ["B", 5, "=1-1"], ["C", None, 0]]
    with pytest.raises(InputError, match=r"p\.xlsx: 2 formulas without a value \(B2, C3\), which would be empty; open"):
        read_sheet(workbook(tmp_path / "p.xlsx", people=rows))


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ('<c r="B2"><f>100+20</f><v>120</v></c>', "120"),
        ('<c r="B2" t="str"><f>IF(A2="","x","")</f><v></v></c>', ""),
        ('<c r="B2" t="inlineStr"><is><t>=no formula</t></is></c>', "=no formula"),
    ],
)
def test_formulas_with_a_value_are_read(tmp_path, cell, read):
    path = workbook(tmp_path / "p.xlsx", people=[["patient", "time"], ["A", "=100+20"]])
    spelled = next(one for one in (FORMULA, FORMULA.replace("<v></v>", "<v />")) if one in first_worksheet(path))
    rewrite(path, spelled, cell)
    assert read_sheet(path).rows == [(2, ["A", read])]


def test_several_worksheets_and_other_files_are_refused(tmp_path):
    path = workbook(tmp_path / "p.xlsx", one=[["a", "b"]], two=[["c", "d"]])
    with pytest.raises(InputError, match=r"2 worksheets hold something \('one', 'two'\)"):
        read_sheet(path)
    path.write_bytes(b"no workbook")
    with pytest.raises(InputError, match="not readable as an Excel file"):
        read_sheet(path)
