"""docs/what_is_checked.md is what the checks say."""

import ast
from pathlib import Path

from checks_page import SECTIONS, checks, error_names, page, section_of

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_checks_say() -> None:
    written = (ROOT / "docs" / "what_is_checked.md").read_text(encoding="utf-8")
    assert written == page(), "run `make reference` (tools/checks_page.py > docs/what_is_checked.md)"


def test_every_kind_of_check_is_found() -> None:
    found = {(check.module, check.follows, check.text) for check in checks()}
    one_way = "*what* *first* and *name* differ in case only; write one name one way"
    slide_twice = "*where*: slide_id *slide id* is there twice; keep one of the rows"
    for module, follows, text in [
        ("store/text_files", "stops", "*path*: a folder, where a file is needed; name the file in it"),
        ("config/names_in_case", "is a problem", one_way),
        ("store/slide_sheet", "is a problem", slide_twice),
        ("commands/checking/cohort", "is a problem", "PROBLEM: classes names labels that nobody has: *…*"),
        ("steps/expression/convert_expression", "says", "*…*: *…* rows are no genes: *…*"),
    ]:
        assert (module, follows, text) in found
    assert {check.follows for check in checks()} >= {"leak", "warning", "stops", "says", "is a problem"}


def test_every_section_has_checks_and_every_module_a_section() -> None:
    assert {section_of(check.module) for check in checks()} == set(SECTIONS)
    assert section_of("store/features") == "Features"
    assert section_of("store/embeddings") == "Models and predictions"


def test_errors_of_errors_are_errors() -> None:
    tree = ast.parse("class A(MirrorflowError): ...\nclass B(A): ...\nclass C(ValueError): ...\n")
    assert error_names([tree]) == {"MirrorflowError", "A", "B"}
