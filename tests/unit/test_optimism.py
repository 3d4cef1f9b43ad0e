"""The effect of a published choice: protocols of one change each, paired differences, the table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.config.protocols import PROTOCOL_PRESETS, SINGLE_CHANGE
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.evaluation.optimism import ACROSS, WITHIN, single_change_effect
from mirrorflow.metrics.inference import FoldSample
from mirrorflow.steps.results.make_optimism import make_optimism
from mirrorflow.store.predictions import write_predictions
from mirrorflow.store.tables import read_numbers, read_text_sheet, write_cohort

NAMES = Path(__file__).parents[2] / "resources" / "names.tsv"
RAW = {
    "run": "r",
    "cohorts": {
        "c": {
            "slides": {"sheet": "s"},
            "clinical": {"sheet": "p"},
            "expression": "e",
            "encoders": ["f"],
            "features": {"f": "f"},
            "splits": {"published": "folder"},
        }
    },
    "expression": {"sources": {"e": {"matrix": "m"}}},
    "protocols": {"honest": {}, "paper": {}},
}


def resolved(**optimism: object) -> dict:
    return resolve(RAW | {"evaluation": {"optimism": optimism}})["protocols"]


# Protocols.


def test_each_single_change_is_a_protocol_that_differs_in_one_key_and_claims_nothing():
    protocols = resolved()
    honest, paper = PROTOCOL_PRESETS["honest"], PROTOCOL_PRESETS["paper"]
    assert set(protocols) == {
        "honest",
        "paper",
        *(f"{SINGLE_CHANGE}{key}" for key in honest if honest[key] != paper[key]),
    }
    for name, protocol in protocols.items():
        if name.startswith(SINGLE_CHANGE):
            changed = [key for key in honest if protocol[key] != honest[key]]
            assert changed == [name.removeprefix(SINGLE_CHANGE)]
            assert protocol[changed[0]] == paper[changed[0]]
            assert not protocol["claims_honest"]


def test_single_changes_can_be_chosen_and_none_are_made_unasked():
    assert list(resolved(changes=["epoch", "splits"])) == [
        "honest",
        "paper",
        f"{SINGLE_CHANGE}epoch",
        f"{SINGLE_CHANGE}splits",
    ]
    assert list(resolve(RAW)["protocols"]) == ["honest", "paper"]


@pytest.mark.parametrize(
    ("optimism", "said"),
    [({"base": "honset"}, "'honset' is no protocol"), ({"changes": ["epochs"]}, "epochs is no key of a protocol")],
)
def test_a_name_that_is_not_there_is_refused(optimism, said):
    with pytest.raises(ConfigError, match=said):
        resolved(**optimism)


# Differences.


def fold(number: int, values: np.ndarray, patients: list[str]) -> FoldSample:
    return FoldSample(np.array(patients), lambda weights: {"m": weights @ values / weights.sum(1)}, number)


def names(start: int, count: int = 30) -> list[str]:
    return [f"P{number:03}" for number in range(start, start + count)]


def worth(base: list[FoldSample], single_change: list[FoldSample], resamples: int = 400):
    return single_change_effect(base, single_change, resamples=resamples, confidence=0.95, seed=0)["m"]


def test_a_constant_gain_on_the_same_patients_has_no_spread():
    values = np.random.default_rng(0).normal(size=30)
    found = worth([fold(0, values, names(0))], [fold(0, values + 0.1, names(0))])
    assert found.pairing == WITHIN
    assert found.difference.mean == pytest.approx(0.1)
    assert (found.difference.ci_low, found.difference.ci_high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.single_change_mean - found.base_mean == pytest.approx(0.1)


def test_units_lost_with_the_last_batch_are_still_paired_within_folds():
    values = np.append(np.full(25, 1.0), np.zeros(5))
    found = worth([fold(0, values, names(0))], [fold(0, values[:25], names(0)[:25])])
    assert (found.pairing, found.patients) == (WITHIN, 30)
    assert found.difference.mean == pytest.approx(5 / 30)
    assert 0 < found.difference.ci_low < found.difference.ci_high


def test_other_folds_are_paired_by_patient_over_the_cohort():
    values = dict(zip(names(0, 60), np.random.default_rng(0).normal(size=60), strict=True))
    odd, even = names(0, 60)[1::2], names(0, 60)[::2]

    def of(number: int, patients: list[str], gain: float = 0.0) -> FoldSample:
        return fold(number, np.array([values[name] + gain for name in patients]), patients)

    base = [of(0, names(0)), of(1, names(30))]
    found = worth(base, [of(0, odd, 0.2), of(1, even, 0.2)])
    assert found.pairing == ACROSS
    assert found.difference.mean == pytest.approx(0.2)
    # The same patients on both sides: the interval is far narrower than that of either mean.
    assert found.difference.ci_high - found.difference.ci_low < 0.25
    assert found.difference.p_value < 0.05


def test_it_follows_from_the_seed_and_does_without_resamples():
    rng = np.random.default_rng(1)
    sides = [fold(0, rng.normal(size=30), names(0))], [fold(0, rng.normal(size=30), names(0))]
    assert worth(*sides) == worth(*sides)
    none = worth(*sides, resamples=0)
    assert np.isnan([none.difference.ci_low, none.difference.p_value]).all()


# The table.


def write_method(folder: Path, protocol: str, right: float) -> str:
    place = folder / "predictions" / protocol / "c" / "e" / "linear"
    written = {}
    for number in range(2):
        label = np.tile(["a", "b"], 20)
        good = np.arange(40) < right * 40
        sure = np.where((label == "a") == good, 0.8, 0.2)
        rows = pd.DataFrame({"patient": [f"{number}-{i}" for i in range(40)], "label": label, "slide_id": ""})
        rows = rows.assign(prob_a=sure, prob_b=1 - sure, setting="all", seed=0, fold=number)
        note = {"setting": "all", "k_real": None, "lost_units": []}
        name = f"subtyping/fold{number}.parquet"
        write_predictions(place / name, rows, {"classes": ["a", "b"], "settings": [note]})
        written[name] = "d"
    (place / "manifest.json").write_text(json.dumps({"written": written, "skipped": {}}))
    return str(place / "manifest.json")


def write_patients(folder: Path) -> str:
    """The cohort behind :func:`write_method`."""
    names = [f"{number}-{i}" for number in range(2) for i in range(40)]
    frame = pd.DataFrame({"patient": names, "label": np.tile(["a", "b"], 40), "time_days": np.nan, "event": np.nan})
    write_cohort(folder / "c.parquet", frame.assign(slide_ids=[[] for _ in names]), ["a", "b"])
    return str(folder / "c.parquet")


def made(folder: Path, shown: list[str]) -> Path:
    rates = {"honest": 0.6, f"{SINGLE_CHANGE}epoch": 0.7, "paper": 0.9}
    manifests = [write_method(folder, protocol, rate) for protocol, rate in rates.items()]
    pd.DataFrame({"protocol": shown, "cohort": "c"}).to_csv(folder / "results.csv", index=False)
    settings = {
        "base": "honest",
        "protocols": {name: {"epoch": name} for name in rates},
        "titles": {"c": "The cohort"},
        "bootstrap": 100,
        "confidence": 0.95,
        "seed": 0,
    }
    single_changes = {"epoch": f"{SINGLE_CHANGE}epoch", "all together": "paper"}
    stem, results = str(folder / "optimism"), str(folder / "results.csv")
    make_optimism(manifests, {"c": write_patients(folder)}, results, str(NAMES), stem, single_changes, settings)
    return folder / "optimism"


def test_the_table_says_what_each_single_change_is_worth(tmp_path):
    stem = made(tmp_path, ["honest", f"{SINGLE_CHANGE}epoch", "paper"])
    rows = read_numbers(f"{stem}.csv", ["worth", "ci_low", "ci_high", "base_mean", "change_mean"])
    accuracy = rows[rows["metric"] == "accuracy"].set_index("change")
    assert accuracy.loc["epoch", "worth"] == pytest.approx(0.1)
    assert accuracy.loc["all together", "worth"] == pytest.approx(0.3)
    assert (accuracy["base_mean"] == 0.6).all()
    assert accuracy.loc["epoch", ["base_value", "change_value"]].tolist() == ["honest", f"{SINGLE_CHANGE}epoch"]
    assert (accuracy["ci_low"] <= accuracy["worth"]).all()
    text = stem.with_suffix(".md").read_text()
    assert "| The cohort | linear | e | Accuracy | 0.600 | +0.100 [" in text
    assert stem.with_suffix(".tex").exists()


def test_withheld_protocols_are_not_in_it(tmp_path):
    assert set(read_text_sheet(f"{made(tmp_path, ['honest', 'paper'])}.csv")["change"]) == {"all together"}


def test_a_withheld_base_leaves_an_empty_table(tmp_path):
    stem = made(tmp_path, ["paper"])
    assert read_text_sheet(f"{stem}.csv").empty
    assert stem.with_suffix(".md").exists()
