import numpy as np
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.scaling import RnaScaler, looks_standardised


def test_training_patients_alone_set_the_scale():
    train = np.array([[0.0, 5.0], [2.0, 5.0]], dtype=np.float32)
    scaler = RnaScaler.fit(train, scaling="train")
    assert scaler.transform(train).tolist() == [[-1, 0], [1, 0]]
    assert scaler.transform(np.array([[4.0, 6.0]])).tolist() == [[3, 1]]


def test_clipping_comes_first():
    train = np.array([[-1.0], [1.0], [3e4]], dtype=np.float32)
    scaler = RnaScaler.fit(train, scaling="train", clip=1.0)
    assert scaler.mean[0] == pytest.approx(1 / 3)
    assert scaler.transform(np.array([[1e6]]))[0, 0] == scaler.transform(np.array([[1.0]]))[0, 0]


def test_a_missing_value_becomes_the_training_mean():
    train = np.array([[1.0], [np.nan], [3.0]], dtype=np.float32)
    scaler = RnaScaler.fit(train, scaling="train")
    assert scaler.mean[0] == 2.0
    assert scaler.transform(np.array([[np.nan]], dtype=np.float32)) == 0.0


def test_a_gene_that_no_training_patient_has_is_zero_for_all():
    train = np.array([[1, np.nan], [3, np.nan]], dtype=np.float32)
    scaler = RnaScaler.fit(train, scaling="train")
    assert scaler.transform(np.array([[2, np.nan], [3, 9.5]], dtype=np.float32)).tolist() == [[0, 0], [1, 0]]
    assert scaler.unmeasured == 1
    assert "1 of 2 genes have no value in any training patient" in scaler.said("fold 0")
    again = RnaScaler.from_arrays(scaler.to_arrays())
    assert again.transform(np.array([[2, 9.5]], dtype=np.float32)).tolist() == [[0, 0]]
    assert RnaScaler.fit(train, scaling="none").said("fold 0") == ""


def test_none_leaves_values_and_makes_missing_zero():
    values = np.array([[-9.97, np.nan], [12.5, 3.0]], dtype=np.float32)
    scaled = RnaScaler.fit(values, scaling="none").transform(values)
    np.testing.assert_array_equal(scaled, np.array([[-9.97, 0], [12.5, 3]], dtype=np.float32))
    assert np.isnan(values[0, 1])


@pytest.mark.parametrize("clip", [None, 10.0])
def test_arrays_hold_all_of_it(clip: float | None):
    values = np.random.default_rng(0).normal(3, 2, (20, 5)).astype(np.float32)
    scaler = RnaScaler.fit(values, scaling="train", clip=clip)
    again = RnaScaler.from_arrays(scaler.to_arrays())
    assert again.clip == clip
    assert np.array_equal(again.transform(values), scaler.transform(values))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="zscore"):
        RnaScaler.fit(np.ones((2, 2)), scaling="zscore")
    with pytest.raises(ConfigError, match="clip"):
        RnaScaler.fit(np.ones((2, 2)), scaling="train", clip=0.0)
    with pytest.raises(InputError, match="no training patient"):
        RnaScaler.fit(np.ones((0, 2)), scaling="train")
    with pytest.raises(InputError, match="3 genes"):
        RnaScaler.fit(np.ones((2, 2)), scaling="train").transform(np.ones((2, 3)))


def test_z_scores_are_told_from_log_expression():
    rng = np.random.default_rng(0)
    log_fpkm = rng.normal(rng.normal(-2, 4, (500, 1)), 1.5, (500, 80))
    assert looks_standardised(log_fpkm).mean() < 0.15
    mean, deviation = log_fpkm.mean(axis=1, keepdims=True), log_fpkm.std(axis=1, keepdims=True)
    z_scores = ((log_fpkm - mean) / deviation).astype(np.float32)
    assert looks_standardised(z_scores[:, :50]).mean() > 0.85  # patients were left out since
    z_scores[0] = np.nan
    assert looks_standardised(z_scores).tolist() == [False, *[True] * 499]
