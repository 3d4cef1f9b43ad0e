"""Parts of the report: summary, verdicts in a word, patients, figures within a budget, links, addresses of drawings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd
import pytest

from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.report.blocks import Cell, Details, Facts, Gallery, Heading, Picture, Table, Text, data_uri
from mirrorflow.report.cohorts import CohortTables
from mirrorflow.report.main_tables import Titles, main_section
from mirrorflow.report.page import label_beside
from mirrorflow.report.patients import PatientTable, patients_section, predicted_classes
from mirrorflow.report.pictures import Drawn, figures_section, picture, within
from mirrorflow.report.summary import Run, chosen, summary_blocks
from mirrorflow.report.verdicts import verdict_cell, verdict_of_text
from mirrorflow.steps.results.report_files import Links
from mirrorflow.steps.results.report_inputs import overlays_of
from mirrorflow.steps.results.report_patients import read_patients
from mirrorflow.tables.results import COLUMNS

TITLES = {"mirror": "MIRROR", "linear": "Linear", "cox": "Ridge Cox"}


def row(method: str, mean: float, verdict: str = "", **more: Any) -> dict[str, Any]:
    """A row of results.csv: accuracy of ``method`` on brca, with an interval of 0.1 to both sides."""
    place = {"protocol": "honest", "cohort": "brca", "encoder": "uni", "setting": "all", "task": "subtyping"}
    value = {
        "mean": mean,
        "ci_low": round(mean - 0.1, 3),
        "ci_high": round(mean + 0.1, 3),
        "n": 40,
        "folds": 5,
        "metric": "accuracy",
    }
    reference = {} if verdict in ("", "reference") else {"reference": "linear (uni)", "comparison": "exploratory"}
    return {
        **dict.fromkeys(COLUMNS, np.nan),
        **place,
        **value,
        **reference,
        "method": method,
        "verdict": verdict,
        **more,
    }


def frame(*rows: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).astype({"reference": object})


def run_of(results: pd.DataFrame, protocols: Mapping[str, bool] | None = None, **more: Any) -> Run:
    cohorts = {name: name.upper() for name in dict.fromkeys(results["cohort"])}
    sizes = dict.fromkeys(cohorts, (40, 50))
    return Run(results, TITLES, cohorts, protocols or {"honest": True}, sizes, **more)


def answers(run: Run, number: int) -> list[str]:
    facts = summary_blocks(run)[0]
    assert isinstance(facts, Facts)
    return [f"{one.text} | {one.below}" for one in facts.facts[number].answers]


THREE = frame(
    row("linear", 0.7, "reference"),
    row("mirror", 0.8, "not distinguishable", difference=0.1, difference_low=-0.1, difference_high=0.3, p_holm=0.2),
    row("cox", 0.5, "worse"),
)


def test_card_has_the_methods_ahead_with_interval_and_verdict() -> None:
    (card,) = summary_blocks(run_of(THREE))[1].cards
    assert card.title == "Subtyping, BRCA"
    assert "n = 40 in 5 folds, protocol honest" in card.table.caption
    assert [line[0].text for line in card.table.rows] == ["MIRROR", "Linear", "Ridge Cox"]
    assert card.table.rows[0][1] == Cell("0.800", below="[0.700, 0.900]", strong=True, bar=(0.7, 0.8, 0.9))
    assert [line[2].text for line in card.table.rows] == ["not told apart", "reference", "worse"]


def test_answer_counts_verdicts_of_first_metrics_with_all_data() -> None:
    others = [row("mirror", 0.9, "better", setting="10-shot"), row("mirror", 0.9, "better", metric="f1_macro")]
    (answer,) = answers(run_of(pd.concat([THREE, frame(*others)], ignore_index=True)), 1)
    assert answer.startswith("Nothing is better than Linear | 1 worse, 1 not told apart, of 2 comparisons")
    (answer,) = answers(run_of(frame(row("mirror", 0.9, "better"), row("linear", 0.5, "reference"))), 1)
    assert answer.startswith("1 of 1 are better than Linear")


def test_answer_without_a_comparison() -> None:
    (answer,) = answers(run_of(frame(row("mirror", 0.9))), 1)
    assert answer == "nothing was compared | no reference in this run, or one fold alone"


def audit(protocol: str, *levels: str) -> dict[str, Any]:
    return {"protocol": protocol, "findings": [{"level": level} for level in levels]}


def test_audits_are_passed_leaking_or_absent() -> None:
    audits = [audit("honest", "warning"), audit("paper", "leak", "leak", "warning"), audit("strict", "leak")]
    protocols = {"honest": True, "paper": False, "strict": True, "new": True}
    assert answers(run_of(THREE, protocols, audits=audits), 2) == [
        "honest: passed | no leak; 1 warning",
        "paper: 2 leaks | 1 warning; it does not claim to be honest",
        "strict: 1 leak | although it claims to be honest",
        "new: not audited | ",
    ]


def test_honest_protocols_come_first_and_withheld_ones_not_at_all() -> None:
    results = pd.concat([THREE.assign(protocol="paper"), THREE], ignore_index=True)
    run = run_of(results, {"paper": False, "withheld": True, "honest": True})
    assert run.asked == ["honest", "paper"]
    _, cards, other = summary_blocks(run)
    assert "protocol honest" in cards.cards[0].table.caption
    assert isinstance(other, Details)
    assert other.summary == "The same under protocol paper, which does not claim to be honest"


def test_no_result_at_all_is_said() -> None:
    *_, last = summary_blocks(run_of(THREE.iloc[:0]))
    assert isinstance(last, Text)
    assert "No protocol of this run has a result" in last.text


def test_undefined_metrics_say_why_in_their_place() -> None:
    why = "one class only in fold 0"
    nothing = {"ci_low": np.nan, "ci_high": np.nan, "why_undefined": why}
    run = run_of(frame(row("linear", np.nan, "reference", **nothing), row("mirror", np.nan, **nothing)))
    (card,) = summary_blocks(run)[1].cards
    assert card.table.rows[0][1] == Cell("undefined", below=why)


def test_interval_beyond_the_scale_has_no_bar() -> None:
    (card,) = summary_blocks(run_of(frame(row("mirror", 0.95))))[1].cards
    assert card.table.rows[0][1].bar is None
    assert card.table.rows[0][1].below == "[0.850, 1.050]"


def test_many_cohorts_share_a_table() -> None:
    results = pd.concat([THREE.assign(cohort=name) for name in "abcde"], ignore_index=True)
    table = summary_blocks(run_of(results))[1]
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0]] == ["A", "MIRROR", "0.800", "not told apart"]
    assert table.rows[0][3].below == "reference 0.700"
    assert len(table.rows) == 5


def test_chosen_methods_are_the_one_ahead_and_the_reference() -> None:
    assert chosen(run_of(THREE)) == {"brca": ["uni_mirror", "uni_linear"]}
    assert chosen(run_of(THREE.iloc[:0])) == {}


def test_adapted_cohorts_are_no_part_of_the_summary() -> None:
    both = pd.concat([THREE, THREE.assign(cohort="rcc--from--brca")], ignore_index=True)
    assert list(chosen(run_of(both))) == ["brca"]


@pytest.mark.parametrize(
    ("verdict", "word", "badge"),
    [
        ("better", "better", "better"),
        ("worse", "worse", "worse"),
        ("reference", "reference", "reference"),
        ("not distinguishable", "not told apart", "alike"),
        ("not distinguishable: too few resamples for 11 comparisons", "not told apart", "alike"),
        ("no verdict", "no verdict", "alike"),
    ],
)
def test_verdicts_are_short(verdict: str, word: str, badge: str) -> None:
    cell = verdict_cell(row("mirror", 0.8, verdict), TITLES)
    assert (cell.text, cell.badge) == (word, badge)
    assert cell.why


def test_verdict_without_its_row_is_short_too() -> None:
    few = verdict_of_text("primary: not distinguishable: too few resamples for 11 comparisons")
    assert few == Cell("not told apart (primary)", badge="alike", why="too few resamples for 11 comparisons")
    assert verdict_of_text("better") == Cell("better", badge="better")


def test_reason_of_a_verdict_names_difference_reference_and_p() -> None:
    why = verdict_cell(THREE.iloc[1].to_dict(), TITLES).why
    assert why.startswith(
        "+0.100 [-0.100, +0.300] against Linear (uni), on the patients that both have; p 0.200 after Holm"
    )
    assert "does not mean that they are equal" in why
    few = verdict_cell(row("mirror", 0.8, "not distinguishable: too few resamples for 11 comparisons"), TITLES)
    assert "too few resamples for 11 comparisons" in few.why
    primary = verdict_cell(row("mirror", 0.8, "better", comparison="primary", p_holm=0.01), TITLES)
    assert primary.text == "better (primary)"
    assert "not adjusted: named before the run" in primary.why
    assert verdict_cell(row("mirror", 0.8), TITLES) == Cell("")


@pytest.mark.parametrize(
    ("text", "below", "verdict"),
    [
        ("0.500 ± 0.010 [0.400, 0.600]", "[0.400, 0.600]", ""),
        ("0.500 [0.4, 0.6], better (published 0.9 ± 0.1, ddof 0)", "[0.4, 0.6]\npublished 0.9 ± 0.1, ddof 0", "better"),
        ("0.500 [0.4, 0.6], worse, n = 17 (trained on 3 to 4)", "[0.4, 0.6]\nn = 17\ntrained on 3 to 4", "worse"),
        ("0.500, not distinguishable: too few resamples for 12 comparisons, n = 9", "n = 9", "not told apart"),
    ],
)
def test_cell_of_a_main_table_is_taken_apart(text: str, below: str, verdict: str) -> None:
    results = frame(row("mirror", 0.5, verdict.replace("not told apart", "not distinguishable") or ""))
    table = pd.DataFrame(
        {"protocol": ["honest"], "encoder": ["uni"], "method": ["MIRROR"], "BRCA, all, Accuracy": [text]}
    )
    titles = Titles(TITLES, {"brca": "BRCA"})
    *_, shown = main_section({"subtyping": table}, results, {}, (), titles).blocks
    assert isinstance(shown, Table)
    cell = shown.rows[0][1]
    assert (cell.text.partition(" ")[0], cell.below) == ("0.500", below)
    assert (cell.mark.text if cell.mark else "") == verdict
    assert cell.mark is None or cell.mark.why


# patients


def test_predicted_class_is_that_of_the_mean_over_seeds_and_slides() -> None:
    rows = pd.DataFrame(
        {
            "setting": ["all"] * 4 + ["3-shot"],
            "fold": [0, 0, 1, 0, 0],
            "seed": [1, 2, 1, 1, 1],
            "patient": ["A", "A", "A", "B", "B"],
            "prob_x": [0.9, 0.3, 0.0, 0.2, 1.0],
            "prob_y": [0.1, 0.7, 1.0, 0.8, 0.0],
        }
    )
    found = predicted_classes(rows, ["x", "y"])
    assert found.to_dict("list") == {
        "patient": ["A", "B"],
        "fold": [0, 0],
        "predicted": ["x", "y"],
        "probability": [0.6, 0.8],
    }


def patients() -> pd.DataFrame:
    columns = {"patient": ["A", "B"], "label": ["x", None], "time_days": [1200.0, np.nan], "event": [1.0, np.nan]}
    return pd.DataFrame({**columns, "slide_ids": [["A1"], ["B1"]]})


def test_patients_are_a_sortable_table_that_says_what_is_not_known() -> None:
    predicted = pd.DataFrame({"patient": ["A"], "fold": [3], "predicted": ["y"], "probability": [0.6]})
    groups = pd.DataFrame({"patient": ["A"], "fold": [3], "group": ["high"]})
    one = PatientTable("honest", patients(), {"mirror (uni)": predicted}, {"cox": groups}, {"A": b"jpeg"})
    _, table = patients_section({"brca": one}, TITLES).blocks
    assert isinstance(table, Table)
    assert table.filterable
    assert table.header == [
        *("patient", "slide", "fold", "class", "predicted by\nMIRROR (uni)", "days", "event", "risk by\nRidge Cox"),
    ]
    first, second = ([cell.text for cell in line] for line in table.rows)
    assert first == ["A", "slide of A", "3", "x", "y", "1,200", "event", "high"]
    assert table.rows[0][4] == Cell("y", below="p 0.60, wrong", strong=True)
    assert second == ["B", "no picture", "", "", "", "", "unknown", ""]


def test_no_patient_with_a_prediction_is_said() -> None:
    (text,) = patients_section({"brca": PatientTable("honest", patients())}, TITLES).blocks
    assert isinstance(text, Text)
    assert "No prediction" in text.text


def test_damaged_or_missing_pictures_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "A1.jpg").write_bytes(b"not a picture")
    cohort = CohortTables(patients(), ["x"], pd.DataFrame(), pd.DataFrame())
    overlays = {"A1": tmp_path / "A1.jpg", "B1": tmp_path / "gone.jpg"}
    chosen = {"brca": ["uni_mirror"], "other": []}
    tables = read_patients({"brca": cohort}, chosen, "honest", [], [], {"brca": overlays})
    assert list(tables) == ["brca"]
    assert tables["brca"].pictures == {}


def test_a_slide_of_another_cohort_with_the_same_name_is_not_shown(tmp_path: Path) -> None:
    ledgers = []
    for cohort, grey in (("brca", 40), ("luad", 200)):
        folder = tmp_path / "slides" / cohort / "256px-20x"
        (folder / "overlays").mkdir(parents=True)
        cv2.imwrite(str(folder / "overlays" / "A1.jpg"), np.full((84, 84, 3), grey, np.uint8))
        ledgers.append(folder / "ledger.tsv")
    cohorts = {name: CohortTables(patients(), ["x"], pd.DataFrame(), pd.DataFrame()) for name in ("brca", "luad")}
    tables = read_patients(cohorts, {"brca": [], "luad": []}, "honest", [], [], overlays_of(ledgers))
    means = {name: _mean_of(table.pictures["A"]) for name, table in tables.items()}
    assert means == {"brca": pytest.approx(40, abs=2), "luad": pytest.approx(200, abs=2)}


def _mean_of(jpeg: bytes) -> float:
    return float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean())


def test_patients_named_by_a_word_for_no_value_keep_their_group_of_risk(tmp_path: Path) -> None:
    names = ["NA", "null", "None", "007"]
    folder = tmp_path / "results/r/figures/brca"
    folder.mkdir(parents=True)
    group = pd.DataFrame({"patient": names, "fold": 0, "group": ["high", "low", "high", "low"]})
    group.to_csv(folder / "survival_honest_uni_linear.csv", index=False)
    place = PredictionsManifest(str(tmp_path / "results/r"), "honest", "brca", "uni", "linear")
    place.folder.mkdir(parents=True)
    place.path.write_text(json.dumps({"written": {}, "skipped": {"subtyping": "no label"}, "checksums": {}}))
    columns = {"patient": names, "label": None, "time_days": 9.0, "event": 1.0, "slide_ids": [[]] * 4}
    cohort = CohortTables(pd.DataFrame(columns), ["x"], pd.DataFrame(), pd.DataFrame())
    tables = read_patients({"brca": cohort}, {"brca": ["uni_linear"]}, "honest", [place.path], [folder], {})
    *_, table = patients_section(tables, TITLES).blocks
    assert isinstance(table, Table)
    shown = {line[0].text: (line[2].text, line[-1].text) for line in table.rows}
    assert shown == {"NA": ("0", "high"), "null": ("0", "low"), "None": ("0", "high"), "007": ("0", "low")}


def test_groups_of_risk_are_of_the_method_that_its_manifest_names(tmp_path: Path) -> None:
    """An encoder's name may have the character that joins it to the method's."""
    folder = tmp_path / "results/r/figures/brca"
    folder.mkdir(parents=True)
    for name in ("uni_linear", "uni_v2_linear"):
        group = pd.DataFrame({"patient": ["A"], "fold": [0], "group": [name]})
        group.to_csv(folder / f"survival_honest_{name}.csv", index=False)
    places = [
        PredictionsManifest(str(tmp_path / "results/r"), "honest", "brca", encoder, "linear")
        for encoder in ("uni", "uni_v2")
    ]
    for place in places:
        place.folder.mkdir(parents=True)
        place.path.write_text(json.dumps({"written": {}, "skipped": {"subtyping": "no label"}, "checksums": {}}))
    cohort = CohortTables(patients(), ["x"], pd.DataFrame(), pd.DataFrame())
    chosen, manifests = {"brca": ["uni_linear", "uni_v2_linear"]}, [place.path for place in places]
    tables = read_patients({"brca": cohort}, chosen, "honest", manifests, [folder], {})
    groups = {name: frame["group"].tolist() for name, frame in tables["brca"].groups.items()}
    assert groups == {"linear (uni)": ["uni_linear"], "linear (uni_v2)": ["uni_v2_linear"]}


# figures, links, addresses


def drawn(name: str, kind: str = "classification", size: int = 10) -> Drawn:
    return Drawn("brca", kind, f"a · {name} · patient · part", "alt", "caption", b"x" * size, name)


def test_methods_ahead_are_shown_and_others_behind_a_fold() -> None:
    own = [
        drawn("classification_honest_uni_mirror"),
        drawn("classification_honest_uni_cox"),
        drawn("classification_paper_uni_mirror"),
    ]
    section = figures_section("c", "C", "classification", own, [], first={"brca": ["_honest_uni_mirror"]})
    heading, shown, fold = section.blocks
    assert isinstance(heading, Heading)
    assert isinstance(shown, Picture)
    assert isinstance(fold, Details)
    assert fold.summary == "2 further figures"
    everything = figures_section("c", "C", "classification", own, []).blocks[1]
    assert isinstance(everything, Gallery)
    assert len(everything.pictures) == 3


def test_first_explained_patient_of_each_task_is_shown() -> None:
    parts = [
        f"{task}_{number}_{part}"
        for task in ("subtyping", "survival")
        for number in (1, 2)
        for part in ("map", "patches")
    ]
    section = figures_section("e", "E", "explained", [drawn(name, "explained") for name in parts], [])
    kinds = [block.kind for block in section.blocks]
    assert kinds == ["heading", *["heading", "picture", "picture", "details"] * 2]


def test_figures_behind_folds_are_left_to_their_files_first() -> None:
    own = [drawn("classification_honest_uni_cox", size=60), drawn("classification_honest_uni_mirror", size=60)]
    kept = within(own, {"brca": ["_honest_uni_mirror"]}, budget=100)
    assert [len(one.svg) for one in kept] == [0, 60]
    assert picture(kept[0]).source == ""
    assert picture(kept[0]).alt.startswith("Left to its file")
    assert within(own, {}, budget=200) == own


def test_drawing_in_an_address_is_the_same_drawing() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg">\n<g clip-path="url(#a)" d=\'50% & more\'/>\n</svg>'
    address = data_uri(svg.encode(), "image/svg+xml")
    assert unquote(address.partition(",")[2]) == svg.replace("\n", " ")
    assert not set(address) & set("\"'<>#&\n")
    assert "://" not in address
    assert "url(" not in address


def test_links_lead_below_the_page_alone(tmp_path: Path) -> None:
    page = tmp_path / "results"
    (page / "tables").mkdir(parents=True)
    for path in (page / "tables" / "a b#1.csv", tmp_path / "store.csv"):
        path.write_text("x", encoding="utf-8")
    links = Links(page)
    assert links.to(page / "tables" / "a b#1.csv") == ["tables/a%20b%231.csv"]
    assert links.to(tmp_path / "store.csv", page / "tables" / "gone.csv") == []


def test_other_forms_of_a_file_are_called_by_their_ending() -> None:
    assert label_beside("figures/a%20b.png", "figures/a%20b.svg") == "png"
    assert label_beside("x/one.parquet", "x/one_map.svg") == "one.parquet"
