"""The report in a headless Chromium: of a finished run, and of a simulated one with more cohorts and explained slides.

The checks are those of tests/page_checks.js. That each of them can fail is held, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_page import WIDTHS, Opened, Scheme, browser, opened
from mirrorflow.report.page import TEMPLATES
from mirrorflow.steps.results.make_report import make_report
from simulated_report import SimulatedRun

pytestmark = pytest.mark.slow

DESKTOPS = [width for width in WIDTHS if width >= 1280]
RESULTS, PATIENTS = "#results table", "#patients table"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def many(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = SimulatedRun(tmp_path_factory.mktemp("many"), cohorts=3, methods=4, patients=40)
    page = run.results / "report.html"
    make_report(run.files, page, run.config, configfiles=[], benchmarks=run.results / "benchmarks")
    return page


@pytest.fixture(scope="module", params=["tiny", "many"])
def report(request: pytest.FixtureRequest, chromium: Any) -> Path:
    if request.param == "tiny":
        return request.getfixturevalue("tiny") / "results" / "tiny" / "report.html"
    return request.getfixturevalue("many")


@pytest.fixture
def page(chromium: Any, many: Path) -> Iterator[Opened]:
    with opened(chromium, many) as one:
        yield one


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_without_an_error_a_request_or_a_faint_word(chromium: Any, report: Path, scheme: Scheme) -> None:
    with opened(chromium, report, scheme=scheme) as one:
        one.open_all()
        assert one.said == []
        assert {address.partition(":")[0] for address in one.asked} <= {"file", "data"}
        assert [address for address in one.asked if address.startswith("file:")] == [report.resolve().as_uri()]
        assert one.faults("faint") == []
        assert one.faults("broken") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_spilled_or_on_top_of_something(chromium: Any, report: Path, width: int) -> None:
    with opened(chromium, report, width) as one:
        for _ in range(2):
            assert one.overflow() == 0
            assert one.faults("cutOff") == []
            assert one.faults("spilled") == []
            assert one.faults("overlapping") == []
            one.open_all()


@pytest.mark.parametrize("width", DESKTOPS)
def test_first_screen_holds_the_answer(chromium: Any, report: Path, width: int) -> None:
    with opened(chromium, report, width) as one:
        for selector in ("h1", ".notices", ".facts", "#summary > .cards, #summary > figure.table"):
            box = one.page.locator(selector).first.bounding_box()
            assert box["y"] + box["height"] <= WIDTHS[width], selector
        shown = one.page.locator("#summary").inner_text()
        assert "Can anything be told from the reference?" in shown
        assert "Did the audit pass?" in shown
        assert "interval" in shown


@pytest.mark.parametrize("width", DESKTOPS)
def test_long_table_shows_its_verdicts(chromium: Any, report: Path, width: int) -> None:
    with opened(chromium, report, width) as one:
        one.open_all()
        assert one.faults("hidden", RESULTS, "verdict") == []


@pytest.mark.parametrize("width", DESKTOPS)
def test_no_column_of_a_run_of_one_cohort_is_cut(chromium: Any, tiny: Path, width: int) -> None:
    with opened(chromium, tiny / "results" / "tiny" / "report.html", width) as one:
        one.open_all()
        assert one.faults("wide") == []


def test_landmarks_headings_and_names(chromium: Any, report: Path) -> None:
    with opened(chromium, report) as one:
        assert one.faults("unnamed") == []


def test_wide_tables_scroll_in_their_box_beside_the_first_column(page: Opened) -> None:
    page.resize(390)
    page.open_all()
    box = page.page.locator("#results .scroll").first
    box.evaluate("(box) => (box.scrollLeft = 200)")
    assert box.evaluate("(box) => box.scrollLeft") == 200
    first = box.locator("tbody th").first.bounding_box()
    assert first["x"] == pytest.approx(box.bounding_box()["x"], abs=2)
    assert page.overflow() == 0


def column(page: Opened, table: str, number: int) -> list[str]:
    """Words of a column's shown cells, without the smaller line."""
    cells = page.page.locator(f"{table} tbody tr:not([hidden]) > :nth-child({number})")
    return [text.split("\n")[0].strip() for text in cells.all_inner_texts()]


def test_sorting_by_click_and_keyboard(page: Opened) -> None:
    page.open_all()
    head = page.page.locator(f"{RESULTS} thead th", has_text="mean ± sd")
    number = head.evaluate("(head) => head.cellIndex") + 1
    before = column(page, RESULTS, number)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, RESULTS, number) == sorted(before, key=lambda text: float(text.split()[0]))
    head.get_by_role("button").focus()
    page.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    shown = [float(text.split()[0]) for text in column(page, RESULTS, number)]
    assert shown == sorted(shown, reverse=True)
    page.page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert column(page, RESULTS, number) == before


def test_sorting_by_words_leaves_empty_cells_last(page: Opened) -> None:
    page.open_all()
    head = page.page.locator(f"{RESULTS} thead th", has_text="remarks")
    number = head.evaluate("(head) => head.cellIndex") + 1
    head.get_by_role("button").click()
    shown = column(page, RESULTS, number)
    assert "" in shown
    assert shown[0] != ""
    assert shown == sorted(shown, key=lambda text: text == "")


def test_filter_by_words_and_by_choice(page: Opened) -> None:
    page.open_all()
    figure = page.page.locator("#results figure.table").first
    said = figure.locator("output")
    total = int(said.inner_text().split()[-2])
    figure.locator("input[type=search]").fill("c_index honest")
    rows = page.page.locator(f"{RESULTS} tbody tr:not([hidden])").all_inner_texts()
    assert 0 < len(rows) < total
    assert all("c_index" in row and "honest" in row for row in rows)
    assert said.inner_text() == f"{len(rows)} of {total} rows"
    figure.get_by_label("verdict").select_option("reference")
    assert 0 < int(said.inner_text().split()[0]) < len(rows)
    figure.locator("input[type=search]").fill("no such words")
    assert said.inner_text() == f"0 of {total} rows"


def test_patients_are_sorted_and_filtered(page: Opened) -> None:
    page.open_all()
    assert page.page.locator(f"{PATIENTS} img.thumbnail").count() == 3 * 40
    figure = page.page.locator("#patients figure.table").first
    figure.locator("label", has_text="class").locator("select").select_option("two")
    first = "#patients figure.table:first-of-type table"
    assert set(column(page, first, 4)) == {"two"}
    figure.get_by_role("button", name="days").click()
    days = [int(text.replace(",", "")) for text in column(page, first, 6)]
    assert days == sorted(days)


def test_reason_of_a_verdict_by_mouse_keyboard_and_touch(chromium: Any, many: Path) -> None:
    with opened(chromium, many, has_touch=True) as one:
        summary = one.page.locator("#summary .tip > summary", has_text="reference").first
        tooltip = one.page.locator("#floating")
        assert tooltip.is_hidden()
        summary.hover()
        assert tooltip.is_visible()
        assert "held against" in tooltip.inner_text()
        one.page.keyboard.press("Escape")
        assert tooltip.is_hidden()
        one.page.mouse.move(0, 0)
        summary.focus()
        assert tooltip.is_visible()
        assert summary.get_attribute("aria-describedby") == "floating"
        summary.tap()
        assert tooltip.is_hidden()
        assert one.page.locator("#summary .tip[open] > span").first.is_visible()
        assert one.overflow() == 0


def test_links_lead_into_folds_and_to_files(chromium: Any, report: Path) -> None:
    with opened(chromium, report) as one:
        one.page.locator("footer a", has_text="All results").click()
        assert one.page.locator("#results .scroll").is_visible()
        hrefs = one.page.locator("a:not([href^='#'])").evaluate_all(
            "(links) => links.map((a) => a.getAttribute('href'))"
        )
        assert hrefs
        assert [href for href in hrefs if ":" in href or href.startswith(("/", ".."))] == []
        assert [href for href in set(hrefs) if not (report.parent / href).exists()] == []


def test_figures_of_a_kind_without_a_place_are_shown_too(page: Opened) -> None:
    assert page.page.locator("#more-unheard_of h3").inner_text() == "Unheard of"
    assert page.page.locator("#more-unheard_of img").count() == 3


def test_print_opens_every_fold(chromium: Any, report: Path) -> None:
    with opened(chromium, report, 1280) as one:
        one.page.emulate_media(media="print")
        one.page.set_viewport_size({"width": 1032, "height": 700})  # A4 across, less its margins
        hidden = (
            "[...document.querySelectorAll('details.fold > :not(summary)')].filter((one) => !one.checkVisibility())"
        )
        assert one.page.evaluate(f"{hidden}.length") == 0
        assert not one.page.locator("nav.bar").is_visible()
        assert one.overflow() == 0
        assert one.faults("cutOff") == []
        assert one.page.pdf().count(b"/Type /Page\n") > 5
        one.page.emulate_media(media="screen")
        assert one.page.locator("details.fold[open]").count() == 0


def test_page_without_scripts_has_every_table(chromium: Any, report: Path) -> None:
    with opened(chromium, report, java_script_enabled=False) as one:
        assert one.page.locator(".filter:visible").count() == 0
        one.page.locator("#results summary").first.click()
        assert one.page.locator(f"{RESULTS} tbody tr").last.is_visible()
        one.page.locator("#results .tip > summary").first.click()
        assert one.page.locator("#results .tip > span").first.is_visible()


BROKEN = {
    "cutOff": "<p style='width: 3000px'>a paragraph</p>",
    "spilled": "<table><tr><td style='max-width: 20px; white-space: nowrap'>words that run on<td>x</table>",
    "overlapping": "<figcaption>one caption</figcaption><figcaption style='margin-top: -1em'>another</figcaption>",
    "wide": "<div class=scroll style='overflow: auto; width: 9px' aria-label=a><table><td>words</table></div>",
    "faint": "<p style='color: #999; background: #fff'>grey</p>",
    "unnamed": "<h1>a</h1><h3>b</h3><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
    "broken": "<img alt='a picture' src='data:image/png;base64,AAAA'>",
}


@pytest.mark.parametrize("check", BROKEN)
def test_check_can_fail(chromium: Any, tmp_path: Path, check: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><html lang=en><body><main>{BROKEN[check]}</main></body></html>", encoding="utf-8")
    with opened(chromium, path) as one:
        assert one.faults(check)


def test_check_of_hidden_columns_can_fail(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    cells = "".join(f"<th>{name}</th>" for name in ("a" * 200, "verdict"))
    table = f"<div class=scroll style='overflow: auto; width: 300px'><table><thead><tr>{cells}</table></div>"
    path.write_text(f"<!DOCTYPE html><html lang=en><body>{table}</body></html>", encoding="utf-8")
    with opened(chromium, path) as one:
        assert one.faults("hidden", "table", "verdict")


@pytest.mark.parametrize(
    ("cells", "sorted_cells"),
    [
        (["17-0042", "17-0007", "9-0100"], ["9-0100", "17-0007", "17-0042"]),
        (["3A", "12B", "3"], ["3", "3A", "12B"]),
        (
            ["0.71 ± 0.02", "<0.001", "[-0.1, 0.3]", "1,200", "\u22120.4"],
            ["\u22120.4", "[-0.1, 0.3]", "<0.001", "0.71 ± 0.02", "1,200"],
        ),
        (["12%", "9%", "1e-5"], ["1e-5", "9%", "12%"]),
    ],
)
def test_identifiers_that_begin_with_digits_are_words(
    chromium: Any, tmp_path: Path, cells: list[str], sorted_cells: list[str]
) -> None:
    rows = "".join(f"<tr><td>{text.replace('<', '&lt;')}</td></tr>" for text in cells)
    table = f"<table id=one><thead><tr><th>patient</th></tr></thead><tbody>{rows}</tbody></table>"
    script = (TEMPLATES / "tables.js").read_text(encoding="utf-8")
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><title>t</title>{table}<script>{script}</script>", "utf-8")
    with opened(chromium, path) as one:
        one.page.locator("#one thead button").click()
        assert column(one, "#one", 1) == sorted_cells
