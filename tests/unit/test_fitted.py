"""Classical models as arrays and back: the same predictions, to the last digit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from mirrorflow.config.modules import part_of
from mirrorflow.probes.fitted import matrix_arrays, matrix_of
from mirrorflow.probes.task import Asked, SubtypePrediction, Targets, survival_targets

ENDS = np.array([200.0, 500.0, 900.0])
SETTINGS = {"C": 0.1, "components": 5, "alpha": 10.0, "columns": ["age"]}


def vectors(units: int, dtype: type, width: int = 60) -> np.ndarray:
    return np.random.default_rng(units).normal(3, 2, (units, width)).astype(dtype)


def targets(task: str, count: int = 80, classes: int = 3) -> Targets:
    rng = np.random.default_rng(1)
    if task == "subtyping":
        return Targets(pd.DataFrame(index=range(count)), classes=rng.integers(0, classes, count))
    frame = pd.DataFrame({"time_days": rng.exponential(500, count), "event": (rng.random(count) < 0.6).astype(float)})
    return survival_targets(frame, np.array([0, *ENDS[:-1], np.inf]))


CASES = [
    ("majority", "subtyping", 3),
    ("majority", "survival", 0),
    ("linear", "subtyping", 3),
    ("linear", "subtyping", 2),
    ("linear", "subtyping", 1),
    ("linear", "survival", 0),
    ("cox", "survival", 0),
    ("clinical", "subtyping", 3),
    ("clinical", "survival", 0),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("family", "task", "classes"), CASES)
def test_a_model_of_its_stored_arrays_predicts_the_same_to_the_last_digit(tmp_path, family, task, classes, dtype):
    known, asked = targets(task, classes=classes), Asked(classes, ENDS if task == "survival" else None)
    fitted = part_of("probes", family, "fit")(vectors(80, dtype), known, asked, SETTINGS)
    path = tmp_path / "model.safetensors"
    save_file(fitted.arrays(), path)
    again = part_of("probes", family, "from_arrays")(load_file(path))
    for units in (1, 33):
        held_out = vectors(units, dtype)
        one, other = fitted.predict(held_out, asked), again.predict(held_out, asked)
        assert type(one) is type(other)
        for name in ("probabilities",) if isinstance(one, SubtypePrediction) else ("risk", "survival"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_comes_back_in_the_order_in_which_it_lay(order):
    matrix = np.array(np.arange(60.0).reshape(6, 10), order=order)[:4]
    arrays = matrix_arrays("weights", matrix)
    assert list(arrays) == ["weights" if order == "C" else "weights_transposed"]
    assert all(array.flags.c_contiguous for array in arrays.values())
    again = matrix_of(arrays, "weights")
    np.testing.assert_array_equal(again, matrix)
    assert again.flags.f_contiguous == (order == "F")


@pytest.mark.parametrize("family", ["cox", "majority"])
def test_a_survival_model_is_not_asked_for_classes(family):
    fitted = part_of("probes", family, "fit")(vectors(80, np.float64), targets("survival"), Asked(0, ENDS), SETTINGS)
    with pytest.raises(ValueError, match="a survival model was asked for classes"):
        fitted.predict(vectors(2, np.float64), Asked(3))


def test_stored_arrays_of_nothing_name_what_is_missing(tmp_path: Path):
    for family in ("linear", "cox", "majority", "clinical"):
        with pytest.raises(KeyError):
            part_of("probes", family, "from_arrays")({})
