"""The method `site`: event rate and class shares of the patient's site; the runs that have it without naming it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.folds import random_folds, site_preserved_folds
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.queries import encoders_of, methods_under
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.learners.inputs.site import SITES, SiteCodes
from mirrorflow.probes import site
from mirrorflow.probes.majority import kaplan_meier
from mirrorflow.probes.site_rates import relative_rates
from mirrorflow.probes.task import Asked, Targets, subtype_targets, survival_targets
from mirrorflow.store.digest import patients_digest
from site_cohort import EDGES, ENDS, PRIOR, answer, cohort, mean_c
from small_config import minimal

# What folds that mix sites pay.


def test_a_planted_site_effect_is_ranked_by_on_random_folds_and_not_on_site_preserving_ones():
    planted = cohort(effect=1.0)
    assert mean_c(planted, random_folds(planted, 5, 0)) > 0.6
    assert mean_c(planted, site_preserved_folds(planted, 5, 0)) == 0.5
    assert abs(mean_c(cohort(), random_folds(cohort(), 5, 0)) - 0.5) < 0.05


# Rates.


def test_rates_are_events_a_person_time_drawn_towards_the_overall_one():
    sites = np.array([[1.0, 0], [1, 0], [0, 1], [0, 0]])
    times, events = np.array([100.0, 300, 400, 200]), np.array([True, True, False, False])
    # overall 2 events in 1,000 days; expected 0.8 at each site; prior: 3 patients of half an event each
    np.testing.assert_allclose(relative_rates(sites, times, events, 3), [3.5 / 2.3, 1.5 / 2.3])
    np.testing.assert_allclose(relative_rates(sites, times, events, 1e-9), [2 / 0.8, 0], atol=1e-8)
    np.testing.assert_allclose(relative_rates(sites, times, events, 1e9), 1)
    np.testing.assert_array_equal(relative_rates(sites, times, np.zeros(4, bool), 3), 1)


def test_curves_are_kaplan_meiers_to_the_power_of_the_rate_and_unseen_sites_have_his():
    frame = cohort(60, 3, effect=1.0)
    fold = Fold(tuple(frame["patient"][:50]), tuple(frame["patient"][50:]))
    frame.loc[55:, "site"] = ["elsewhere", "", "S00", "S00", "S00"]
    prediction, _ = answer(frame, fold)
    curve = kaplan_meier(survival_targets(frame[:50], EDGES)).predict(np.zeros((1, 0)), Asked(0, ENDS)).survival[0]
    np.testing.assert_array_equal(prediction.risk[5:7], 1)
    np.testing.assert_allclose(prediction.survival, curve[None] ** prediction.risk[:, None])
    assert len(set(prediction.risk[7:])) == 1
    assert prediction.risk[7] != 1


def test_shares_are_drawn_towards_the_overall_ones_and_add_up_to_1():
    frame = pd.DataFrame({"patient": list("ABCDEF"), "label": list("aaabbb"), "site": ["x", "x", "y", "y", "y", ""]})
    fold = Fold(tuple("ABCDEF"), ("Z",))
    others = pd.DataFrame({"patient": ["Z", "Q"], "label": ["a", "b"], "site": ["x", "new"]})
    inputs = SiteCodes(frame).vectors(fold, 0, 0, frame, others)
    fitted = site.fit(inputs.train[0], subtype_targets(frame, ["a", "b"]), Asked(2), {"pseudo_patients": 2})
    shares = fitted.predict(inputs.evaluation[0], Asked(2)).probabilities
    np.testing.assert_allclose(shares, [[3 / 4, 1 / 4], [0.5, 0.5]])
    assert inputs.fitted == {SITES: patients_digest(frame["patient"])}
    assert inputs.recipe.settings["sites"] == ["x", "y"]


def test_slides_of_one_patient_count_once():
    frame = cohort(40, 3, effect=1.0)
    twice = frame.loc[np.repeat(np.arange(40), [3] * 5 + [1] * 35)].reset_index(drop=True)
    fold = Fold(tuple(frame["patient"]), ())
    rates = []
    for units in (frame, twice):
        inputs = SiteCodes(frame).vectors(fold, 0, 0, units, units[:0])
        rates.append(site.fit(inputs.train[0], survival_targets(units, EDGES), Asked(0, ENDS), PRIOR).arrays())
    assert rates[0].keys() == rates[1].keys()
    for name, values in rates[0].items():
        np.testing.assert_array_equal(values, rates[1][name])


# Sites that tell nothing.


@pytest.mark.parametrize(("sites", "said"), [([""] * 6, "no training patient has a site"), (["x"] * 6, "of one site")])
def test_no_site_and_one_site_are_said(sites, said):
    frame = cohort(6).assign(site=sites)
    with pytest.raises(InputError, match=said):
        answer(frame, Fold(tuple(frame["patient"][:4]), tuple(frame["patient"][4:])))


def test_sites_with_one_patient_are_drawn_almost_to_the_overall_rate():
    frame = cohort(30).assign(site=[f"S{number}" for number in range(30)])
    train = SiteCodes(frame).vectors(Fold(tuple(frame["patient"]), ()), 0, 0, frame, frame[:0]).train[0]
    targets: Targets = survival_targets(frame, EDGES)
    rates = site.fit(train, targets, Asked(0, ENDS), PRIOR).arrays()["rates"]
    assert np.abs(np.log(rates)).max() < 0.35
    prediction, _ = answer(frame, Fold(tuple(frame["patient"][:20]), tuple(frame["patient"][20:])))
    np.testing.assert_array_equal(prediction.risk, 1)  # nobody of these sites was trained on


# Runs that have it.


def run_with(splits: str, **changes: Any) -> dict[str, Any]:
    raw = minimal(methods={"majority": {}}, protocols={"honest": {}, "mixed": {"preset": "honest", "splits": splits}})
    return resolve(raw | changes)


def test_a_run_whose_folds_may_mix_sites_has_it_under_these_protocols_without_naming_it():
    config = run_with("random")
    assert list(config["methods"]) == ["site", "majority"]
    assert methods_under(config, "mixed") == ["site", "majority"]
    assert methods_under(config, "honest") == ["majority"]
    assert encoders_of(config, "a", "site") == ["none"]
    assert list(run_with("site_preserved")["methods"]) == ["majority"]


def test_a_run_can_turn_it_off_or_name_it_and_then_has_it_under_every_protocol():
    assert list(run_with("random", evaluation={"site_baseline": False})["methods"]) == ["majority"]
    named = run_with("random", methods={"site": {"pseudo_patients": 5}})
    assert named["methods"]["site"]["pseudo_patients"] == 5
    assert methods_under(named, "honest") == methods_under(named, "mixed") == ["site"]
    assert list(run_with("random", methods={"site--weak": {"pseudo_patients": 5}})["methods"]) == ["site--weak"]
    with pytest.raises(ConfigError, match=r"methods\.site\.pooling"):
        run_with("random", methods={"site": {"pooling": "mean"}})


def test_cohorts_without_sites_have_no_row_of_it():
    raw = minimal(protocols={"mixed": {"preset": "honest", "splits": "random"}}, methods={"majority": {}})
    raw["cohorts"]["b"] = raw["cohorts"]["a"] | {"site": "none"}
    config = resolve(raw)
    assert (encoders_of(config, "a", "site"), encoders_of(config, "b", "site")) == (["none"], [])
    del raw["cohorts"]["a"]
    assert list(resolve(raw)["methods"]) == ["majority"]
