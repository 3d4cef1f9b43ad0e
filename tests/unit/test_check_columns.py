"""``check`` names clinical columns that a method asks for and the sheet does not have."""

import pandas as pd
import pytest

from mirrorflow.commands.checking.columns import column_lines
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError
from mirrorflow.probes.covariates import CovariateEncoder
from small_config import minimal


def test_a_missing_clinical_column_is_said_with_what_is_there() -> None:
    config = resolve(minimal(methods={"clinical": {"columns": ["age", "grade"]}, "majority": {}}))
    clinical = pd.DataFrame({"patient": ["p"], "label": ["a"], "age": ["60"], "Grade": ["2"]})
    (line,) = column_lines(config, clinical)
    assert line.startswith("WARNING: methods.clinical.columns: grade not in the clinical data")
    assert "(there: age, Grade)" in line
    assert list(column_lines(config, clinical.rename(columns={"Grade": "grade"}))) == []


AGES = {"columns": ["age"]}


@pytest.mark.parametrize(
    "ages",
    [
        ["61,5", "62.5", "70,25", "55.5"],
        ["1,250", "12,375", "8,125", "3,500"],
        ["1.234,5", "2.001,0", "987", "45"],
        ["61,5", "70,2", "50,25", "48", "n. d."],
        ["1,234,567", "", "12", "13"],
        [f"{year},5" if year % 2 else f"{year}.5" for year in range(50, 70)],
    ],
)
def test_numbers_with_commas_that_nobody_read_are_a_problem(ages):
    config = resolve(minimal(methods={"clinical": AGES, "majority": {}}))
    (line,) = column_lines(config, pd.DataFrame({"age": ages}))
    assert line.startswith("PROBLEM: methods.clinical.columns: column age: ")
    assert "write points for decimals and nothing between thousands" in line
    with pytest.raises(InputError, match=r"column age: .* have commas and could not be read"):
        CovariateEncoder.fit(pd.DataFrame({"age": ages}), ["age"])


@pytest.mark.parametrize(
    "codes",
    [
        ["1a", "2b", "1b", "3c"],
        ["61", "62.5", "70"],
        ["left, upper", "1,2", "right"],
        ["3+4", "4+3", "3+3"],
        ["50-59", "60-69", "<50"],
        ["01.02.2020", "03.04.2021"],
    ],
)
def test_codes_and_words_are_categories(codes):
    config = resolve(minimal(methods={"clinical": AGES, "majority": {}}))
    frame = pd.DataFrame({"age": codes})
    assert list(column_lines(config, frame)) == []
    assert CovariateEncoder.fit(frame, ["age"]).columns == ["age"]


def test_numbers_with_a_unit_are_a_warning_where_they_are_many():
    config = resolve(minimal(methods={"clinical": AGES, "majority": {}}))
    (line,) = column_lines(config, pd.DataFrame({"age": [f"{year} y" for year in range(50, 70)]}))
    assert line.startswith("WARNING: methods.clinical.columns: column age: each of 20 values such as '50 y' counts")
    assert list(column_lines(config, pd.DataFrame({"age": ["10 mg", "20 mg"] * 10}))) == []
