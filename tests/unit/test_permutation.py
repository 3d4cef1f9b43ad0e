"""Rule permute_outcomes: the whole cross-validation with traded outcomes, and its p beside survival curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labelled_cohort import Store
from mirrorflow.cohorts.patients import to_units
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError
from mirrorflow.learners.inputs.vectors import NoInputs, PooledInputs
from mirrorflow.learners.permutation import WholeCrossValidation, traded
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.figures import FigureInputs, PermutedRecord
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards
from mirrorflow.steps.results.survival_figures import LogRanks, read_permuted, survival_task
from mirrorflow.steps.training.permute_outcomes import found, permuted
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort


def pooled(store: Store) -> PooledInputs:
    return PooledInputs(
        to_units(store.frame, "patient"), ["slides"], "mean", str(store.folder / "index.tsv"), None, [], "train", None
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, WholeCrossValidation]:
    """Survival that follows the class, which slides tell; ridge Cox with few components."""
    store = Store(tmp_path_factory.mktemp("traded"))
    plan = store.plan("cox", tasks=["survival"], shots=[])
    plan.method["alpha"] = 1.0  # type: ignore[index]
    store.predict(plan, pooled(store), "results/predictions/honest/c/uni/cox")
    return store, WholeCrossValidation(plan, pooled(store))


def test_outcomes_are_traded_whole_among_those_who_have_one() -> None:
    frame = pd.DataFrame(
        {"patient": list("abcde"), "time_days": [1.0, 2, 3, 4, np.nan], "event": [1.0, 0, 1, 0, np.nan]}
    )
    dealt = traded(frame, 3)
    assert dealt["time_days"].tolist()[:4] != [1.0, 2, 3, 4]
    assert sorted(zip(dealt["time_days"][:4], dealt["event"][:4], strict=True)) == [(1, 1), (2, 0), (3, 1), (4, 0)]
    assert np.isnan(dealt["time_days"][4])
    assert frame["time_days"].tolist()[:4] == [1.0, 2, 3, 4]
    with pytest.raises(InputError, match="1 patients have an outcome"):
        traded(frame.iloc[3:], 1)


def test_the_true_outcomes_give_the_stored_predictions(whole: tuple[Store, WholeCrossValidation]) -> None:
    store, validation = whole
    manifest = read_manifest(store.folder / "results/predictions/honest/c/uni/cox/manifest.json")
    people = read_cohort(store.folder / "cohort.parquet")[0]
    stored = pd.concat([one.rows for one in read_task(manifest, "survival", people)], ignore_index=True)
    validation.predictions(5)
    again = validation.predictions()  # what was traded before is forgotten
    assert again["risk"].tolist() == pytest.approx(stored["risk"].tolist())
    assert not np.allclose(validation.predictions(5)["risk"], again["risk"])


def test_a_signal_has_the_smallest_p_there_is(whole: tuple[Store, WholeCrossValidation]) -> None:
    _, validation = whole
    record = permuted(validation, 9, lambda: None)
    assert record["undefined"] == 0
    assert record["p_c_index"] == record["p_log_rank"] == 0.1
    assert record["c_index"] == found(validation.predictions())[0]


def test_a_method_without_ranks_has_no_small_p(whole: tuple[Store, WholeCrossValidation]) -> None:
    store, _ = whole
    record = permuted(
        WholeCrossValidation(store.plan("majority", tasks=["survival"], shots=[]), NoInputs()), 3, lambda: None
    )
    assert record["p_c_index"] == record["p_log_rank"] == 1.0


class Fixed:
    """Predictions that rank the events of the first fold; the second, of ten, has none unless outcomes are traded."""

    def __init__(self, events: float = 1.0) -> None:
        days = [*np.arange(1, 31.0), *np.arange(1, 11.0)]
        self.rows = pd.DataFrame({"setting": "all", "seed": 1, "patient": [f"p{n}" for n in range(40)]}).assign(
            fold=np.repeat([0, 1], [30, 10]),
            time_days=days,
            event=np.repeat([events, 0.0], [30, 10]),
            risk=-np.array(days),
        )

    def predictions(self, seed: int | None = None) -> pd.DataFrame:
        return self.rows if seed is None else traded(self.rows, seed)


def test_a_fold_without_a_comparable_pair_is_left_out_of_the_mean() -> None:
    record = permuted(Fixed(), 19, lambda: None)  # type: ignore[arg-type]
    assert record["c_index"] == 1.0
    assert record["p_c_index"] == 0.05
    assert record["undefined"] == 0


def test_without_any_comparable_pair_there_is_no_p() -> None:
    record = permuted(Fixed(events=0.0), 3, lambda: None)  # type: ignore[arg-type]
    assert record == {"permutations": 0, "why": "no fold has a comparable pair: no C-index"}


def test_a_cohort_that_cannot_be_asked_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    validation = WholeCrossValidation(store.plan("cox", tasks=["survival"], shots=[]), pooled(store))
    validation._frame = validation._frame.assign(event=0.0)
    validation._asked.frame = validation._frame
    record = permuted(validation, 3, lambda: None)
    assert record["permutations"] == 0
    assert record["why"]
    path = tmp_path / "permuted/honest/c/uni/cox.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert read_permuted([path]) == {}


def test_the_curves_say_it(whole: tuple[Store, WholeCrossValidation]) -> None:
    store, _ = whole
    manifest = store.folder / "results/predictions/honest/c/uni/cox/manifest.json"
    record: dict[str, Any] = {"permutations": 199, "undefined": 2, "p_log_rank": 0.005, "p_c_index": 0.01}
    tests = LogRanks({}, {("honest", "c", "uni", "cox"): record})
    spec = survival_task(manifest, store.folder / "cohort.parquet", {}, {"honest"}, tests).draw()
    assert "permutation p = 0.005" in spec.alt
    assert "199 whole cross-validations" in spec.caption
    assert "2 of them undefined" in spec.caption
    (legend,) = spec.figure.legends
    assert legend.get_title().get_text() == "permutation p = 0.005"
    plain = survival_task(manifest, store.folder / "cohort.parquet", {}, {"honest"}).draw()
    assert "ermutation" not in plain.caption + plain.alt


def test_only_classical_methods_that_see_something_are_repeated() -> None:
    raw = {
        "run": "r",
        "cohorts": {
            "c": {"slides": {"sheet": "s"}, "clinical": {"sheet": "p"}, "expression": "e", "encoders": ["resnet50"]}
        },
        "features": {"encoders": {"resnet50": {"model": "resnet50", "weights": "hub"}}},
        "expression": {"sources": {"e": {"matrix": "m"}}},
        "methods": {"majority": {}, "cox": {}, "abmil": {}},
    }

    def asked(**evaluation: Any) -> list[str]:
        run = Run(resolve({**raw, "evaluation": {"reference": "cox", **evaluation}}))
        inputs = FigureInputs(run, CohortInputs(run), GeneInputs(run), ModelInputs(run))
        wildcards: Wildcards = type("W", (), {"cohort": "c"})()
        return [PermutedRecord.parse(path).method for path in inputs.permuted(wildcards)]

    assert asked() == []
    assert asked(permutations=9) == ["cox"]
    assert PredictionsManifest.TEMPLATE.split("/")[1:4] == PermutedRecord.TEMPLATE.split("/")[1:4]
