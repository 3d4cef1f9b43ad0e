"""The bench: the truth that is planted is the truth that is measured, and the verdicts' shares are counted right."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mirrorflow import cli
from mirrorflow.bench import mirror_parts, tta_parts
from mirrorflow.bench.calibrate import OTHER, REFERENCE, VIEW, figures_of, run_studies
from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import SCENARIOS, scenario
from mirrorflow.bench.simulate import World, expected_c, population_c, simulate
from mirrorflow.bench.trials import LINEAR, cells_of, draw_folds, train, true_c
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.metrics import c_index

NOISE = World(patients=300, events=150, fresh=1000, shared=0.0, slide_only=0.0, rna_only=0.0, interaction=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_on_pure_noise_the_oracle_is_at_chance_and_so_is_who_was_trained():
    study = simulate(NOISE, rng())
    assert study.oracle() == 0.5
    fold = draw_folds(study, rng(1))
    trained = train("linear", LINEAR["linear"], study, fold)
    assert true_c(trained, study) == pytest.approx(0.5, abs=0.05)
    (where, cell), *_ = cells_of(trained, study, fold, 100, ["c_index"])
    assert where["method"] == "linear"
    assert cell.row["ci_low"] < 0.5 < cell.row["ci_high"]


def test_a_planted_shared_signal_gives_the_oracle_that_theory_states():
    # A standard normal log hazard: of two patients the riskier dies first in 72.4 % of pairs.
    assert expected_c(1.0) == pytest.approx(0.7241, abs=1e-4)
    assert expected_c(0.0) == 0.5
    study = simulate(replace(NOISE, shared=1.0, patients=4000, events=4000, fresh=0), rng(2))
    assert study.oracle() == pytest.approx(expected_c(1.0), abs=0.01)


def test_a_method_finds_what_it_can_see():
    world = replace(NOISE, rna_only=1.2, patients=600, events=300)
    study = simulate(world, rng(3))
    fold = draw_folds(study, rng(4))
    slide, rna = (true_c(train(name, LINEAR[name], study, fold), study) for name in ("linear", "rna-linear"))
    assert slide == pytest.approx(0.5, abs=0.05)
    assert 0.68 < rna < study.oracle()


def test_an_interaction_moves_the_hazard_and_no_linear_model_sees_it():
    study = simulate(replace(NOISE, interaction=1.5, patients=600, events=300), rng(5))
    assert study.oracle() > 0.7
    fold = draw_folds(study, rng(6))
    assert true_c(train("c", LINEAR["concat-linear"], study, fold), study) == pytest.approx(0.5, abs=0.06)


def test_sites_move_hazards_and_features():
    study = simulate(replace(NOISE, site_effect=1.5, site_shift=3.0), rng(7))
    by_site = pd.Series(study.log_hazard).groupby(study.site)
    assert by_site.nunique().eq(1).all()
    assert study.oracle() > 0.65
    means = pd.DataFrame(study.slides).groupby(study.site).mean()
    assert means.std().mean() > 2


def test_the_events_asked_for_are_there_and_folds_share_them_out():
    study = simulate(replace(NOISE, events=47), rng(8))
    assert study.event[:300].sum() == 47
    fold = draw_folds(study, rng(9))
    counts = pd.Series(study.event[:300]).groupby(fold).agg(["sum", "size"])
    assert counts["sum"].between(9, 10).all()
    assert counts["size"].sum() == 300


def test_a_populations_c_is_the_metrics():
    risk, times, events = rng(10).integers(0, 5, 60) / 2, rng(11).exponential(1, 60), rng(12).random(60) < 0.5
    assert population_c(risk, times, events) == pytest.approx(c_index(risk, times, events, np.ones((1, 60)))[0])


def test_shares_of_verdicts_are_counted_by_hand():
    def row(dataset: int, verdict: str, low: float, p: float, p_t: float) -> dict:
        shared = {"dataset": dataset, "metric": "c_index", "detectable": 0.2}
        other = {"method": OTHER, "truth": 0.7, "ci_low": 0.6, "ci_high": 0.8, "verdict": verdict}
        return shared | other | {"difference_low": low, "difference_high": 0.3, "p_value": p, "p_t_test": p_t}

    rows = [row(0, "better", 0.01, 0.01, 0.04), row(1, "worse", 0.15, 0.02, 0.03), row(2, "", -0.1, 0.04, 0.2)]
    rows += [
        {"dataset": k, "metric": "c_index", "method": REFERENCE, "truth": 0.6, "ci_low": low, "ci_high": 0.9}
        for k, low in enumerate((0.5, 0.61, 0.55))
    ]
    found = figures_of(pd.DataFrame(rows))
    assert (found.datasets, found.difference) == (3, pytest.approx(0.1))
    assert (found.found, found.right) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (found.by_bootstrap, found.by_t_test) == (1, pytest.approx(2 / 3))
    assert (found.coverage_value, found.coverage_difference) == (pytest.approx(5 / 6), pytest.approx(2 / 3))
    assert found.error(0.5) == pytest.approx(np.sqrt(0.25 / 3))


def test_data_sets_are_judged_as_a_run_is():
    rows = run_studies(replace(VIEW, patients=120, events=60, fresh=200), range(2), 100)
    assert len(rows) == 8
    assert set(rows["method"]) == {REFERENCE, OTHER}
    pairs = rows[rows["metric"] == "c_index_pairs"]
    assert pairs.loc[pairs["method"] == OTHER, "verdict"].isin(["better", "worse", "not distinguishable"]).all()
    assert rows.equals(run_studies(replace(VIEW, patients=120, events=60, fresh=200), range(2), 100))


def test_parts_of_mirror_are_judged_against_the_whole(monkeypatch):
    few = {name: mirror_parts.VARIANTS[name] for name in ("whole", "without-alignment")}
    monkeypatch.setattr(mirror_parts, "VARIANTS", few)
    monkeypatch.setattr(mirror_parts, "TRAINING", replace(mirror_parts.TRAINING, epochs=1))
    monkeypatch.setattr(mirror_parts, "WORLD", replace(mirror_parts.WORLD, fresh=30))
    found = mirror_parts.run(Request(patients=30, events=15, resamples=60))
    assert found.table["method"].tolist() == ["whole", "without-alignment", "linear-on-means"]
    assert found.table["verdict"].tolist()[0] == "reference"
    assert found.table["true_c"].between(0.3, 0.9).all()
    assert found.figures.keys() == {"oracle", "true_c_whole", "true_without-alignment", "true_linear-on-means"}


@pytest.mark.slow
def test_parts_of_tta_are_trained_on_outcomes_and_judged_against_the_whole(monkeypatch):
    few = {name: tta_parts.VARIANTS[name] for name in ("whole", "apart")}
    monkeypatch.setattr(tta_parts, "VARIANTS", few)
    monkeypatch.setattr(tta_parts, "TRAINING", replace(tta_parts.TRAINING, epochs=4, min_steps=0))
    monkeypatch.setattr(tta_parts, "WORLD", replace(tta_parts.WORLD, fresh=100, shared=2.0))
    found = tta_parts.run(Request(patients=120, events=80, resamples=60, datasets=2))
    assert found.table["method"].tolist() == 2 * ["whole", "apart", "linear-on-means"]
    linear = found.table[found.table["method"] == "linear-on-means"]
    assert (linear["true_c"] > 0.65).all()
    assert (found.table["true_c"] > 0.5).all()
    assert {"true_apart", "error_apart"} <= found.figures.keys()


def test_the_command_prints_a_table_and_figures(capsys):
    assert cli.main(["bench", "linear", "--patients", "150", "--events", "60", "--resamples", "50"]) == 0
    out = capsys.readouterr().out
    assert "concat-linear" in out
    assert "oracle=0." in out
    assert cli.main(["bench", "list"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}: " in said for name in SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nix"], "bench: 'nix' is no scenario (there: linear, verdicts, mirror-parts, tta-parts)"),
        (["linear", "--patients", "5"], "bench --patients 5: at least 20"),
        (["linear", "--patients", "100", "--events", "200"], "world.events is 200, of 100 patients"),
    ],
)
def test_what_no_study_can_be_is_refused(arguments, said, capsys):
    assert cli.main(["bench", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_world_checks_itself():
    with pytest.raises(ConfigError, match=r"world\.slide_noise is -1"):
        World(slide_noise=-1.0)
    with pytest.raises(InputError, match="is no scenario"):
        scenario("tta")
