"""Cross-conformal sets: coverage on draws, what is promised, where nothing is."""

import numpy as np
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.reuse.conformal import Calibration, calibrate, class_sets, why_not

HONEST = PROTOCOL_PRESETS["honest"] | {"splits": "random"}


def folds(count: int, parts: int) -> dict[int, Fold]:
    names = [f"p{i}" for i in range(count)]
    sides = {k: names[k::parts] for k in range(parts)}
    return {k: Fold(tuple(n for n in names if n not in val), tuple(val)) for k, val in sides.items()}


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [unit, class] and classes drawn by them."""
    probabilities = rng.dirichlet([0.6, 0.6, 0.6], count)
    return probabilities, np.array([rng.choice(3, p=row) for row in probabilities])


def test_sets_cover_what_they_aim_at_in_draws() -> None:
    rng, hits, asked = np.random.default_rng(0), 0, 0
    for _ in range(200):
        parts = {k: drawn(rng, 15) for k in range(2)}
        divided = folds(30, 2)
        made = calibrate(
            {k: p for k, (p, _) in parts.items()}, {k: c for k, (_, c) in parts.items()}, divided, HONEST, 0.8
        )
        new, truth = drawn(rng, 5)
        sets = class_sets(dict.fromkeys(range(2), new), made, ["0", "1", "2"], 0.8)
        hits += sum(str(one) in found for one, found in zip(truth, sets, strict=True))
        asked += 5
    assert 0.77 < hits / asked < 0.9


def test_the_promise_names_numbers_and_what_it_is_not() -> None:
    rng = np.random.default_rng(0)
    parts = {k: drawn(rng, 50) for k in range(5)}
    made = calibrate(
        {k: p for k, (p, _) in parts.items()}, {k: c for k, (_, c) in parts.items()}, folds(250, 5), HONEST, 0.9
    )
    assert made.reason == ""
    assert "250 patients in 5 folds" in made.promise
    assert "At least 77% of new patients" in made.promise  # 1 - 0.2 - min(1.6 / 51, 0.98 / 6)
    assert "another hospital" in made.promise
    sites = calibrate(
        {0: parts[0][0], 1: parts[1][0]}, {0: parts[0][1], 1: parts[1][1]}, folds(100, 2),
        HONEST | {"splits": "site_preserved"}, 0.9,
    )  # fmt: skip
    assert "not proven" in sites.promise


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "slide"}, "units are slides"),
        ({"epoch": "best_on_evaluation"}, "the epoch was chosen"),
        ({"pretraining_epoch": "best_on_evaluation"}, "the epoch was chosen"),
        ({"gene_selection": "cohort"}, "genes were chosen with labels"),
    ],
)
def test_no_sets_where_evaluation_patients_decided_something(change: dict[str, str], said: str) -> None:
    assert said in why_not(folds(10, 2), HONEST | change)


def test_no_sets_where_folds_are_no_partition() -> None:
    twice = {0: Fold(("a",), ("b", "c")), 1: Fold(("a",), ("b",))}
    assert "several folds" in why_not(twice, HONEST)
    beside = {0: Fold(("a", "b", "d"), ("c",)), 1: Fold(("c", "b", "d"), ("a",))}
    assert "do not evaluate every patient" in why_not(beside, HONEST)
    assert why_not({0: Fold(("a",), ("b",))}, HONEST) == ""


def test_a_class_whose_p_is_what_may_be_missed_is_not_in_the_set() -> None:
    """1 - 0.9 is 0.0999... in floating point: p = 10 / 100 was above it."""
    made = Calibration({0: np.linspace(0.01, 0.99, 99)})
    assert class_sets({0: np.array([[0.095, 0.905]])}, made, ["a", "b"], 0.9) == [["b"]]
    assert class_sets({0: np.array([[0.105, 0.895]])}, made, ["a", "b"], 0.9) == [["a", "b"]]


@pytest.mark.parametrize(("coverage", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.87, 7)])
def test_sets_need_no_patient_more_than_they_do_on_paper(coverage: float, least: int) -> None:
    """The smallest p, 1 / (n + 1), may be no larger than 1 - coverage."""
    for count, enough in ((least, True), (least - 1, False)):
        rows = {0: np.full((count, 2), 0.5)}
        fold = {0: Fold(("x",), tuple(f"p{i}" for i in range(count)))}
        made = calibrate(rows, {0: np.zeros(count, int)}, fold, HONEST, coverage) if count else None
        assert (made is not None and made.reason == "") is enough


def test_too_few_patients_give_no_sets() -> None:
    rng = np.random.default_rng(0)
    parts = {k: drawn(rng, 3) for k in range(2)}
    made = calibrate(
        {k: p for k, (p, _) in parts.items()}, {k: c for k, (_, c) in parts.items()}, folds(6, 2), HONEST, 0.9
    )
    assert "6 held-out patients are too few" in made.reason
