"""Columns of the patients' sheet as numbers: what is learned comes from training patients alone."""

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import ConfigError
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.probes.covariates import CovariateEncoder

TRAIN = pd.DataFrame({"age": ["40", "60", "", "70"], "stage": ["II", "I", "[Not Available]", "I"], "sex": ["NA"] * 4})


def test_numbers_are_imputed_by_the_training_median_and_others_coded_one_by_one():
    encoder = CovariateEncoder.fit(TRAIN, ["age", "stage"])
    assert encoder.medians == {"age": 60.0}
    assert encoder.categories == {"stage": ["I", "II"]}
    np.testing.assert_array_equal(encoder.transform(TRAIN), [[40, 0, 1], [60, 1, 0], [60, 0, 0], [70, 1, 0]])


def test_values_that_training_never_saw_are_missing_ones():
    others = pd.DataFrame({"age": ["old", "50"], "stage": ["IV", "II "]})
    encoded = CovariateEncoder.fit(TRAIN, ["age", "stage"]).transform(others)
    np.testing.assert_array_equal(encoded, [[60, 0, 0], [50, 0, 1]])


def test_what_a_frame_says_otherwise_than_training_is_named_by_row():
    encoder = CovariateEncoder.fit(TRAIN, ["age", "stage"])
    others = pd.DataFrame({"age": ["61,5", "50", "NA"], "stage": ["IV", "II ", ""]})
    assert {name: found.to_dict() for name, found in encoder.no_numbers(others).items()} == {"age": {0: "61,5"}}
    assert {name: found.to_dict() for name, found in encoder.never_seen(others).items()} == {"stage": {0: "IV"}}
    assert encoder.not_known(others) == {"age": 1, "stage": 1}
    assert (encoder.no_numbers(TRAIN), encoder.never_seen(TRAIN)) == ({}, {})


def test_columns_that_are_absent_or_unknown_are_left_out():
    encoder = CovariateEncoder.fit(TRAIN, ["sex", "grade", "age"])
    assert encoder.columns == ["age"]
    assert CovariateEncoder.fit(TRAIN, ["grade"]).transform(TRAIN).shape == (4, 0)


def test_numbers_may_come_as_numbers():
    frame = pd.DataFrame({"age": [40.0, np.nan, 50.0]})
    np.testing.assert_array_equal(CovariateEncoder.fit(frame, ["age"]).transform(frame)[:, 0], [40, 45, 50])


@pytest.mark.parametrize("word", ["'--", "Not Reported", "[Discrepancy]", "unknown"])
def test_a_word_for_unknown_leaves_a_column_of_numbers_one(word, caplog):
    frame = pd.DataFrame({"age": ["40", "60", word, "70"], "stage": ["I", "II", word, "I"]})
    encoder = CovariateEncoder.fit(frame, ["age", "stage"])
    assert (encoder.medians, encoder.categories) == ({"age": 60.0}, {"stage": ["I", "II"]})
    np.testing.assert_array_equal(encoder.transform(frame)[2], [60, 0, 0])
    assert "column" not in caplog.text


def test_stray_text_in_a_column_of_numbers_is_unknown_and_named(caplog):
    frame = pd.DataFrame({"age": [*map(str, range(1, 10)), "ca. 60"]})
    encoder = CovariateEncoder.fit(frame, ["age"])
    assert encoder.medians == {"age": 5.0}
    np.testing.assert_array_equal(encoder.transform(frame)[-1], [5])
    assert "column age holds numbers; 1 of its training values are none and count as unknown: 'ca. 60' 1" in caplog.text
    assert CovariateEncoder.fit(frame[-4:], ["age"]).categories == {"age": ["7", "8", "9", "ca. 60"]}  # 3 of 4


@pytest.mark.parametrize("name", ["label", "event", "time_days", "patient"])
def test_a_target_cannot_be_a_covariate(name):
    with pytest.raises(ConfigError, match=f"{name} cannot be a covariate"):
        CovariateEncoder.fit(TRAIN.assign(**{name: "1"}), [name])


def test_each_training_patient_counts_once_however_many_slides(caplog):
    units = pd.DataFrame({"patient": ["a", "a", "a", "b", "c"], "age": ["10", "10", "10", "30", ""]})
    made = ClinicalColumns(units, ["age", "grade"])
    parts = [units[units["patient"].isin(side)] for side in (["a", "b"], ["c"])]
    vectors = made.vectors(Fold(("a", "b"), ("c",)), 0, 42, *parts)
    assert vectors.evaluation[0, 0, 0] == 20
    assert "nothing is known of grade in fold 0" in caplog.text


def test_evaluation_patients_decide_nothing():
    units = pd.DataFrame({"patient": list("abcd"), "age": ["1", "2", "3", "4"], "stage": ["I", "II", "I", "III"]})
    fold, parts = Fold(("a", "b"), ("c", "d")), [units.iloc[:2], units.iloc[2:]]
    before = ClinicalColumns(units, ["age", "stage"]).vectors(fold, 0, 42, *parts).train
    changed = units.assign(age=["1", "2", "99", "x"], stage=["I", "II", "V", "VI"])
    after = ClinicalColumns(changed, ["age", "stage"]).vectors(fold, 0, 42, changed.iloc[:2], changed.iloc[2:]).train
    np.testing.assert_array_equal(before, after)
