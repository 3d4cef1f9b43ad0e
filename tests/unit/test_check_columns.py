"""``check`` names clinical columns that a method asks for and the sheet does not have."""

import pandas as pd

from mirrorflow.commands.checking.columns import column_lines
from mirrorflow.config.resolve import resolve
from small_config import minimal


def test_a_missing_clinical_column_is_said_with_what_is_there() -> None:
    config = resolve(minimal(methods={"clinical": {"columns": ["age", "grade"]}, "majority": {}}))
    clinical = pd.DataFrame({"patient": ["p"], "label": ["a"], "age": ["60"], "Grade": ["2"]})
    (line,) = column_lines(config, clinical)
    assert line.startswith("WARNING: methods.clinical.columns: grade not in the clinical data")
    assert "(there: age, Grade)" in line
    assert list(column_lines(config, clinical.rename(columns={"Grade": "grade"}))) == []
