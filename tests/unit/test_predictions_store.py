import numpy as np
import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.store import predictions as stored

UNITS = pd.DataFrame(
    {
        "patient": ["A", "B"],
        "slide_id": ["", ""],
        "label": ["x", "y"],
        "time_days": [10.0, 20.0],
        "event": [1.0, 0.0],
        "further": [7, 8],
    },
    index=[4, 9],
)
NOTES = {"digest": "0123456789abcdef", "classes": ["x", "y"], "settings": [{"setting": "all", "k_real": None}]}


def test_subtype_rows_have_a_probability_a_class_in_the_order_of_the_classes():
    rows = stored.subtype_rows(UNITS, np.array([[0.9, 0.1], [0.2, 0.8]]), ["y", "x"])
    assert list(rows) == ["patient", "slide_id", "label", "prob_y", "prob_x"]
    assert rows["prob_y"].tolist() == [0.9, 0.2]
    assert rows["patient"].tolist() == ["A", "B"]


def test_survival_rows_have_risk_and_curve():
    rows = stored.survival_rows(UNITS, np.array([0.5, -1]), np.array([[0.9, 0.8, 0.1], [1, 1, 1]]))
    assert list(rows) == ["patient", "slide_id", "time_days", "event", "risk", "surv_0", "surv_1", "surv_2"]
    assert rows["surv_2"].tolist() == [0.1, 1]
    assert list(stored.survival_rows(UNITS, np.array([0.5, -1]), None))[-1] == "risk"


def test_rows_and_notes_come_back_as_they_were(tmp_path):
    path = tmp_path / "subtyping" / "fold0.parquet"
    rows = stored.subtype_rows(UNITS, np.array([[0.9, 0.1], [1 / 3, 2 / 3]]), ["x", "y"])
    stored.write_predictions(path, rows, NOTES)
    back = stored.read_predictions(path)
    pd.testing.assert_frame_equal(back.rows, rows)
    assert back.notes == stored.stored_notes(path) == NOTES
    assert back.probability_columns == ["prob_x", "prob_y"]
    assert stored.stored_digest(path) == NOTES["digest"]


def test_a_file_that_is_absent_torn_or_none_of_ours_has_no_digest(tmp_path):
    path = tmp_path / "fold0.parquet"
    assert stored.stored_digest(path) is None
    stored.write_predictions(path, UNITS, NOTES)
    whole = path.read_bytes()
    for torn in (b"", whole[: len(whole) // 2], b"no parquet at all"):
        path.write_bytes(torn)
        assert stored.stored_digest(path) is None
        with pytest.raises(InputError, match=r"fold0\.parquet: not readable .*delete it and run again"):
            stored.read_predictions(path)
    UNITS.to_parquet(path)
    assert stored.stored_digest(path) is None
    with pytest.raises(InputError, match="no predictions file of mirrorflow"):
        stored.read_predictions(path)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"fold7\.parquet: not readable"):
        stored.read_predictions(tmp_path / "fold7.parquet")
