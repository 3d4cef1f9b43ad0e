"""One vocabulary for what is not known."""

import math

import pytest

from mirrorflow.config.unknown import counted, is_unknown
from mirrorflow.expression.matrix import MISSING


@pytest.mark.parametrize(
    "written",
    [
        "", "  ", "NA", "n/a", "NaN", "null", "None", "Not Reported", "not reported", "NOT REPORTED", " Not Reported ",
        "not_reported", "'--", "--", "-", "?", "[Discrepancy]", "[Not Available]", "[not available]",
        "[Not Applicable]", "[Unknown]", "[Not Evaluated]", "[Completed]", "Unknown", "UNKNOWN", "Not Available",
        "<NA>", "#N/A", math.nan, None,
    ],
)  # fmt: skip
def test_words_for_unknown(written: object):
    assert is_unknown(written)


@pytest.mark.parametrize(
    "written",
    ["0", 0, "no", "Nan Hua hospital", "Stage X", "Completed", "[IDH mutant]", "??", "-1", "negative", "natural"],
)
def test_answers_are_none_of_them(written: object):
    assert not is_unknown(written)


def test_what_arrow_is_told_of_is_unknown():
    assert all(is_unknown(one) for one in MISSING)
    assert {"", "NA", "nan", "NaN"} <= set(MISSING)


def test_words_are_counted():
    assert counted(["--", "Not Reported", "", "Not Reported "]) == "'Not Reported' 2, '--' 1, '' 1"
