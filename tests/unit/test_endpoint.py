"""Outcomes of one cause of death: who died of what, who is left out, and what curves are then."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts import endpoint
from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.cohorts.splits import Fold
from mirrorflow.cohorts.unknown_causes import folds_of_unknown
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.figures.cumulative_incidence import estimate_incidence, with_causes
from mirrorflow.figures.kaplan_meier import estimate_curve
from mirrorflow.figures.survival_curves import draw_survival_curves
from mirrorflow.plan.results import TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.report.cohorts import CohortTables, cohorts_section
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet
from mirrorflow.store.tables import read_endpoint, read_folds, write_cohort
from mirrorflow.tables.compared import settings_compared
from small_config import minimal

SHEET = """patient\tsite\tdss_months\tdss_event\tos_months\tos_event
A\ts1\t10\t1\t10\t1
B\ts1\t20\t0\t20\t1
C\ts2\t\t\t30\t1
D\ts2\t\t\t40\t0
E\ts3\t50\t0\t50\t0
F\ts3\t0\t0\t0\t0
"""
"""A dead of the disease, B of another cause, C of an unknown one; D unknown and alive; E alive; F not followed."""
SAID = {"name": "DSS", "time": "os_months", "event": "os_event"}
COLUMNS = {"time": "dss_months", "event": "dss_event"}


def clinical(folder: Path, text: str = SHEET, **changes: Any) -> dict[str, Any]:
    path = folder / "clinical.tsv"
    path.write_text(text)
    return {"sheet": str(path), "columns": COLUMNS, "time_unit": "months", "cause_specific": SAID} | changes


def frame_of(folder: Path, **how: Any) -> pd.DataFrame:
    return cohorts.name_classes(clinical_sheet(clinical(folder, **how)), {}, "column")


def test_every_death_is_told_by_its_cause(tmp_path: Path) -> None:
    frame = frame_of(tmp_path)
    assert frame["event"].fillna(-1).tolist() == [1, 0, -1, -1, 0, 0]
    assert endpoint.causes(frame).tolist() == [1, 2, 0, 0, 0, 0]
    found = {what: frame.loc[rows, "patient"].tolist() for what, rows in endpoint.deaths_by_cause(frame).items()}
    assert list(found.values()) == [["A", "B", "C"], ["A"], ["B"], ["C"]]
    assert frame.loc[2, endpoint.DAYS] == pytest.approx(30 * 365.25 / 12)


DATES = {"start": "diagnosis", "end": "last_seen"}


def test_a_sheet_with_dates_names_the_deaths_of_any_cause_alone(tmp_path: Path) -> None:
    """Beside dates a time is refused, and one was asked for."""
    rows = ["patient\tsite\tdiagnosis\tlast_seen\tdss_event\tos_event"]
    rows += [f"{name}\ts\t2019-01-01\t2019-01-{day}\t{cause}" for name, day, cause in DATED]
    how = {"columns": DATES | {"event": "dss_event"}, "cause_specific": {"name": "DSS", "event": "os_event"}}
    resolve(config_of(**how))
    frame = frame_of(tmp_path, text="\n".join(rows), **how)
    assert endpoint.causes(frame).tolist() == [1, 2, 0]
    assert frame["time_days"].tolist() == frame[endpoint.DAYS].tolist() == [10, 20, 29]


DATED = [("A", 11, "1\t1"), ("B", 21, "0\t1"), ("C", 30, "0\t0")]


def test_the_flow_counts_deaths_by_cause_and_says_who_is_left_out(tmp_path: Path) -> None:
    frame = frame_of(tmp_path)
    index = pd.DataFrame(
        {"slide_id": list("abcdef"), "patient": list("ABCDEF"), "status": ["ok"] * 6, "reason": [""] * 6}
    )
    _, flow = assemble(frame, {"uni": index}, list("ABCDEF"), "sheet")
    left = {row["step"]: row["patients"] for row in flow.steps}
    assert left["of these with a known outcome (survival)"] == 3
    assert left["of these dead, whatever the cause"] == 3
    assert left["of these dead of another cause (censored)"] == 1
    assert left["of these dead of unknown cause (left out)"] == 1
    reasons = {row["patient"]: row["reason"].split(":")[0] for row in flow.dropped if row["step"] == "survival"}
    assert reasons == {"C": "dead, cause unknown", "D": "outcome unknown", "F": "follow-up of 0 days"}


def test_other_cohorts_have_no_deaths_by_cause(tmp_path: Path) -> None:
    section = clinical(tmp_path)
    del section["cause_specific"]
    frame = clinical_sheet(section)
    assert endpoint.deaths_by_cause(frame) == {}
    assert endpoint.EVENT not in frame
    write_cohort(tmp_path / "a.parquet", frame.assign(slide_ids=[[]] * 6), [])
    assert read_endpoint(tmp_path / "a.parquet") == ""


def test_a_death_of_the_disease_that_is_no_death_is_refused_by_name(tmp_path: Path) -> None:
    text = SHEET.replace("A\ts1\t10\t1\t10\t1", "A\ts1\t10\t1\t10\t0")
    with pytest.raises(InputError, match=r"clinical\.tsv: 1 patients died of the cause of DSS and are alive.*: A;"):
        frame_of(tmp_path, text=text)


def test_columns_that_are_one_and_times_that_differ_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        frame_of(tmp_path, text=SHEET.replace("E\ts3\t50\t0\t50\t0", "E\ts3\t50\t0\t60\t0"))
    assert "differ by more than a month of 1 patients: E; that of DSS counts" in caplog.text
    with caplog.at_level(logging.WARNING):
        frame_of(tmp_path, cause_specific={"name": "DSS", "time": "dss_months", "event": "dss_event"})
    assert "no death of another cause than that of DSS: is it the same column twice?" in caplog.text


def test_a_bad_cell_of_any_cause_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="event is not 0 or 1: line 7: '3'"):
        frame_of(tmp_path, text=SHEET.replace("F\ts3\t0\t0\t0\t0", "F\ts3\t0\t0\t0\t3"))


def test_xenas_outcome_takes_os_as_death_of_any_cause(tmp_path: Path) -> None:
    survival = "sample\tOS\tOS.time\tDSS\tDSS.time\nTCGA-AA-0001-01\t1\t9\t0\t9\nTCGA-AA-0002-01\t1\t8\t\t\n"
    matrix = "sampleID\thistological_type\nTCGA-AA-0001-01\tx\nTCGA-AA-0002-01\tx\n"
    for name, text in (("s.tsv", survival), ("m.tsv", matrix)):
        (tmp_path / name).write_text(text)
    section = {"survival": str(tmp_path / "s.tsv"), "matrix": str(tmp_path / "m.tsv"), "label": "histological_type"}
    frame = clinical_sheet(section | {"outcome": "DSS", "cause_specific": {}})
    assert endpoint.causes(frame).tolist() == [2, 0]
    assert endpoint.died_of_unknown_cause(frame).tolist() == [False, True]


# the config


def config_of(**said: Any) -> dict[str, Any]:
    config = minimal()
    config["cohorts"]["a"]["clinical"] |= said
    return config


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"cause_specific": {"time": "os_months"}}, r"cause_specific: name, event missing: what the outcome is called"),
        ({"cause_specific": SAID | {"when": "x"}}, "unknown key 'when'"),
        ({"cause_specific": {"name": "DSS"}, "columns": DATES}, r"cause_specific: event missing: what the outcome"),
        ({"cause_specific": SAID, "columns": DATES}, r"cause_specific\.time: .* hold for every death: leave it out"),
    ],
)
def test_a_sheet_has_to_name_its_columns(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        resolve(config_of(**said))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"outcome": "OS", "cause_specific": {}}, "outcome: OS is death of any cause; set outcome: DSS"),
        ({"outcome": "DSS", "cause_specific": {"time": "OS.time"}}, "names a column of a sheet; of Xena's table"),
    ],
)
def test_xenas_table_needs_an_outcome_of_one_cause(said: dict[str, Any], why: str) -> None:
    config = minimal()
    config["cohorts"]["a"]["clinical"] = {"survival": "s.tsv", "matrix": "m.tsv", **said}
    with pytest.raises(ConfigError, match=why):
        resolve(config)


def test_tables_name_the_outcome_and_compare_it_with_no_other(tmp_path: Path) -> None:
    config = resolve(config_of(cause_specific=SAID))
    assert TableInputs(Run(config)).titles == {"a": "a (DSS, cause-specific)"}
    assert settings_compared(config)["cohorts"]["a"]["settings"]["outcome"] == "DSS"
    plain = resolve(minimal())
    assert TableInputs(Run(plain)).titles == {}
    assert "cause_specific" not in plain["cohorts"]["a"]["clinical"]


def test_the_report_says_how_many_of_the_dead_are_left_out(tmp_path: Path) -> None:
    frame = frame_of(tmp_path).assign(slide_ids=[["x"]] * 6)
    nothing = pd.DataFrame(columns=["step", "patient", "slide_id", "reason"])
    flow = pd.DataFrame(columns=["step", "patients", "slides"])
    section = cohorts_section({"a": CohortTables(frame, [], flow, nothing, "DSS")}, {})
    (said,) = [block.text for block in section.blocks if block.kind == "text"]
    assert said.startswith("Outcome: DSS, cause-specific. Of 3 deaths 1 are of this cause (events), 1 of another")
    assert "The outcome of 1 of 3 dead and of 2 of 3 others is unknown" in said


# who predicts the dead of unknown cause


def dead(sites: dict[str, str]) -> pd.DataFrame:
    """Patients whose cause of death is unknown, and others (names in lower case), by site."""
    unknown = [name.isupper() for name in sites]
    return pd.DataFrame(
        {
            "patient": list(sites),
            "site": list(sites.values()),
            "event": [np.nan if one else 0.0 for one in unknown],
            "time_days": [np.nan if one else 5.0 for one in unknown],
            endpoint.DAYS: 5.0,
            endpoint.EVENT: [float(one) for one in unknown],
        }
    )


def test_the_fold_that_evaluates_a_patient_predicts_it() -> None:
    folds = [Fold(("a", "B"), ("c", "D")), Fold(("c", "D"), ("a", "B"))]
    assert folds_of_unknown(dead(dict.fromkeys("aBcD", "s")), folds) == {"B": 1, "D": 0}


def test_who_is_in_no_fold_goes_to_that_of_the_site_or_in_turn() -> None:
    frame = dead({"a": "s1", "b": "s2", "C": "s2", "D": "s1", "E": "new", "F": "new", "G": ""})
    folds = [Fold(("b",), ("a",)), Fold(("a",), ("b",))]
    assert folds_of_unknown(frame, folds) == {"C": 1, "D": 0, "E": 0, "F": 1, "G": 0}


def test_who_is_trained_on_everywhere_is_left_out() -> None:
    assert folds_of_unknown(dead({"a": "", "B": ""}), [Fold(("B",), ("a",))]) == {}


# curves


def test_cumulative_incidence_by_hand_with_ties() -> None:
    """At 2 days a death of either kind, at 4 one of the outcome and a censoring."""
    found = estimate_incidence(np.array([1, 2, 2, 3, 4, 4, 5.0]), np.array([1, 2, 1, 0, 1, 0, 2]))
    assert found.time_days.tolist() == [0, 1, 2, 3, 4, 5]
    # survival before 1: 1; before 2: 6/7; before 4: 4/7 (4 of 6 are left); before 5: 4/7 * 2/3
    assert found.outcome == pytest.approx([0, 1 / 7, 2 / 7, 2 / 7, 2 / 7 + 4 / 21, 2 / 7 + 4 / 21])
    assert found.other == pytest.approx([0, 0, 1 / 7, 1 / 7, 1 / 7, 1 / 7 + 8 / 21])
    assert (found.patients, found.events, found.others) == (7, 3, 2)
    assert np.all(found.low <= found.outcome)
    assert np.all(found.outcome <= found.high)


def test_incidences_add_up_to_what_any_death_takes() -> None:
    rng = np.random.default_rng(3)
    times, causes = rng.integers(1, 12, 60).astype(float), rng.integers(0, 3, 60)
    found = estimate_incidence(times, causes)
    left = 1.0
    for day, total in zip(found.time_days[1:], (found.outcome + found.other)[1:], strict=True):
        left *= 1 - ((times == day) & (causes > 0)).sum() / (times >= day).sum()
        assert total == pytest.approx(1 - left)


def test_where_others_compete_the_incidence_is_below_one_minus_kaplan_meier() -> None:
    rng = np.random.default_rng(5)
    times, causes = rng.integers(1, 40, 80).astype(float), rng.integers(0, 3, 80)
    found, curve = estimate_incidence(times, causes), estimate_curve(times, causes == 1)
    alone = 1 - curve.survival[np.searchsorted(curve.time_days, found.time_days, side="right") - 1]
    assert np.all(found.outcome <= alone + 1e-12)
    assert alone[-1] - found.outcome[-1] > 0.05


@pytest.mark.parametrize(("causes", "last"), [([0] * 4, (0, 0)), ([0, 1, 0, 1], (1, 0)), ([0, 2, 0, 2], (0, 1))])
def test_incidence_of_one_kind_of_death_or_none_is_one_minus_kaplan_meier(
    causes: list[int], last: tuple[int, int]
) -> None:
    found = estimate_incidence(np.array([1.0, 2.0, 3.0, 4.0]), np.array(causes))
    assert (found.outcome[-1], found.other[-1]) == pytest.approx(last)
    assert np.all((found.low <= found.outcome) & (found.outcome <= found.high))


def test_causes_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"causes are 0, 1 and 2, not \[0, 3\]"):
        estimate_incidence(np.array([1.0, 2.0]), np.array([0, 3]))


def test_a_figure_of_a_cause_specific_outcome_is_its_incidence() -> None:
    patients = [f"p{number}" for number in range(40)]
    rng = np.random.default_rng(0)
    causes = pd.Series(rng.integers(0, 3, 40), index=patients)
    groups = pd.DataFrame(
        {"patient": patients, "time_days": rng.exponential(900, 40) + 1, "group": ["high", "low"] * 20}
    )
    groups = with_causes(groups.assign(event=causes.to_numpy() == 1), causes)
    figure = draw_survival_curves(groups, "TTA", "DSS")
    axes, _ = figure.axes
    assert axes.get_ylabel() == "Cumulative incidence, DSS"
    others = int((causes[groups.loc[groups["group"] == "high", "patient"]] == 2).sum())
    assert any(line.get_label().endswith(f"{others} other deaths") for line in axes.lines)
    assert len(axes.lines) == 4
    assert axes.lines[0].get_ydata()[0] == 0


# real patients

SHARED = Path(__file__).parents[3] / "shared" / "tcga"
REAL = {"columns": {"patient": "case_id", **COLUMNS}, "time_unit": "months", "cause_specific": SAID}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/tcga is not there")
@pytest.mark.parametrize(
    ("cohort", "deaths"), [("coadread", (78, 36, 22, 20)), ("brca", (128, 58, 42, 28)), ("nsclc", (339, 96, 26, 217))]
)
def test_deaths_of_real_patients_by_cause(cohort: str, deaths: tuple[int, int, int, int]) -> None:
    frame = clinical_sheet(REAL | {"sheet": str(SHARED / cohort / "clinical.tsv")})
    assert tuple(int(rows.sum()) for rows in endpoint.deaths_by_cause(frame).values()) == deaths


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/tcga is not there")
@pytest.mark.parametrize(
    ("cohort", "patients", "events"), [("coadread", 289, [5, 12, 5, 9, 5]), ("brca", 810, [8, 8, 20, 6, 16])]
)
def test_mmps_folds_hold_none_of_the_dead_of_unknown_cause(cohort: str, patients: int, events: list[int]) -> None:
    frame = clinical_sheet(REAL | {"sheet": str(SHARED / cohort / "clinical.tsv")}).set_index("patient")
    folds = read_folds(SHARED / cohort / "splits_site_stratified", 5)
    named = sorted({name for fold in folds for name in (*fold.train, *fold.val)})
    assert len(named) == patients
    assert frame.loc[named, "event"].notna().all()
    assert [int(frame.loc[list(fold.val), "event"].sum()) for fold in folds] == events
    home = folds_of_unknown(frame.reset_index(), folds)
    assert len(home) == int(endpoint.died_of_unknown_cause(frame).sum())
