"""The section ``new_patients``: defaults, and what is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.plan.new_patients import NewPatientsInputs
from mirrorflow.plan.run import Run
from mirrorflow.steps.reuse.predict_patients import asked_by, given_by
from small_config import minimal


def test_an_entry_says_whom_and_what(tmp_path: Any) -> None:
    config = resolve(minimal() | {"new_patients": {"spring": {"features": "f", "methods": ["linear"]}}})
    entry = config["new_patients"]["spring"]
    assert asked_by(entry).days == (365, 730, 1095, 1825)
    assert asked_by(entry).methods == ("linear",)
    given = given_by(entry, tmp_path)
    assert str(given.features) == "f"
    assert given.slides is None


def test_a_slide_that_was_scanned_anew_is_predicted_anew(tmp_path: Path) -> None:
    sheet, slide = tmp_path / "slides.tsv", tmp_path / "a.svs"
    sheet.write_text("slide_id\tpatient\tpath\na\tA\ta.svs\n")
    slide.write_text("one scan")
    inputs = NewPatientsInputs(Run(resolve(minimal() | {"new_patients": {"spring": {"slides": str(sheet)}}})))
    states = [inputs.given(SimpleNamespace(patients="spring"))]
    slide.write_text("another scan")
    states.append(inputs.given(SimpleNamespace(patients="spring")))
    assert states[0] != states[1]
    assert states[0]["slides"] == states[1]["slides"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "new_patients.spring: names nothing of the patients"),
        ({"features": "f", "protocol": "none"}, "new_patients.spring.protocol: 'none' is not in this run"),
        ({"features": "f", "cohort": "none"}, "new_patients.spring.cohort: 'none' is not in this run"),
        ({"features": "f", "methods": ["none"]}, "new_patients.spring.methods: 'none' is no method of this run"),
        ({"features": "f", "coverage": 0.3}, "new_patients.spring.coverage"),
        ({"feature": "f"}, "new_patients.spring.*feature"),
    ],
)
def test_what_is_impossible_is_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(minimal() | {"new_patients": {"spring": entry}})
