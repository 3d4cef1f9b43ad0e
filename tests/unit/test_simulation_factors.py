import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sksurv.metrics import concordance_index_censored

from mirrorflow.demo.factors import FACTORS, class_directions, draw_outcomes, draw_patients, separate_subtypes
from mirrorflow.demo.settings import SIMULATION_DEFAULTS, complete_settings
from mirrorflow.errors import ConfigError


@pytest.fixture(scope="module")
def many():
    return draw_patients(complete_settings({"patients": 2000}))


def test_subtype_shares_are_40_35_25_percent(many):
    shares = many["subtype"].value_counts(normalize=True)
    assert shares["alpha"] == pytest.approx(0.40, abs=0.01)
    assert shares["beta"] == pytest.approx(0.35, abs=0.01)
    assert shares["gamma"] == pytest.approx(0.25, abs=0.01)


def test_each_modality_knows_a_part_of_the_subtype_and_both_know_all(many):
    train, test = many[:1000], many[1000:]

    def accuracy(*factors):
        columns = list(factors)
        model = LogisticRegression().fit(train[columns], train["subtype"])
        return model.score(test[columns], test["subtype"])

    slides, rna, both = accuracy("shared", "slide_only"), accuracy("shared", "rna_only"), accuracy(*FACTORS)
    assert 0.80 < slides < 0.97
    assert 0.80 < rna < 0.97
    assert both > 0.98


def test_risk_and_censoring_are_as_planted(many):
    event = many["event"].to_numpy(bool)
    concordance = concordance_index_censored(event, many["time_days"], many["log_hazard"])[0]
    assert 0.68 < concordance < 0.76
    assert 0.5 < 1 - event.mean() < 0.62


def test_a_higher_hazard_dies_earlier():
    hazard = np.repeat([-2.0, 2.0], 400)
    time, event = draw_outcomes(hazard, np.random.default_rng(0))
    assert np.median(time[400:]) < np.median(time[:400])
    assert event[400:].mean() > event[:400].mean()
    assert time.min() >= 1


def test_every_class_is_at_most_sites_and_barcodes_are_tcga_like():
    patients = draw_patients(complete_settings({}))
    table = patients.groupby("site")["subtype"].nunique()
    assert len(table) == 8
    assert (table == 3).mean() > 0.5
    assert patients["patient"].str.fullmatch(r"DEMO-[A-Z0-9]{2}-\d{4}").all()
    assert (patients["patient"].str.len() == 12).all()
    assert patients["patient"].is_unique
    assert (patients["patient"].str[5:7] == patients["site"]).all()


def test_patients_are_moved_towards_their_own_subtype():
    factors = np.zeros((4, 3))
    factors[:, 1] = [1.0, -1.0, 1.0, -1.0]
    moved, subtype = separate_subtypes(factors, np.array([0.5, 0.5]))
    gain = ((moved - factors) * class_directions(2)[subtype]).sum(axis=1)
    assert np.allclose(gain, gain[0])
    assert gain[0] > 0
    assert sorted(np.bincount(subtype)) == [2, 2]


def test_seed_moves_everything_and_nothing_else_does():
    one, same = (draw_patients(complete_settings({"patients": 30})) for _ in range(2))
    other = draw_patients(complete_settings({"patients": 30, "seed": 8}))
    assert one.equals(same)
    assert not np.allclose(one["shared"], other["shared"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"patient": 90}, "'patient'"),
        ({"patients": 3}, "patients: 3"),
        ({"patients": True}, "patients: True"),
        ({"pen_fraction": 1.5}, "pen_fraction: 1.5"),
        ({"prefix": "DEMONSTRATION"}, "'DEMONSTRATION'"),
        ({"classes": ["one"]}, "classes"),
    ],
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        complete_settings(settings)


def test_defaults_are_complete_and_valid():
    assert complete_settings({}) == SIMULATION_DEFAULTS
