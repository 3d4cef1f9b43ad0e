"""The primary comparison: named before the run, exactly one."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mirrorflow.config.primary import primary_place
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.plan.results import TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.tables.main import cell_text
from mirrorflow.tables.verdict_notes import detectable_note, rule_note, verdict_notes
from small_config import minimal

MIRROR = {"method": "mirror", "metric": "c_index"}


def config(primary: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    return minimal(evaluation={"primary": primary}, **changes)


def test_what_is_left_out_is_the_only_one_there_is():
    found = resolve(config(MIRROR))
    place = {"protocol": "honest", "cohort": "a", "encoder": "uni", "setting": "all", **MIRROR}
    assert primary_place(found) == place
    assert primary_place(resolve(config(MIRROR | {"setting": "10-shot"})))["setting"] == "10-shot"
    assert primary_place(resolve(config({"method": "rna-linear", "metric": "accuracy"})))["encoder"] == "none"


def test_without_one_every_comparison_is_exploratory():
    assert primary_place(resolve(minimal())) == {}
    assert primary_place(resolve(config(None))) == {}


def test_the_rule_gets_its_place():
    settings = TableInputs(Run(resolve(config(MIRROR)))).evaluate_settings(SimpleNamespace(cohort="a"))
    assert settings["primary"] == primary_place(resolve(config(MIRROR)))


@pytest.mark.parametrize(
    ("primary", "said"),
    [
        (MIRROR | {"method": "mirro"}, "evaluation.primary.method: 'mirro' is no method of this run"),
        (MIRROR | {"method": "concat-linear"}, "'concat-linear' is the reference itself"),
        (MIRROR | {"metric": "ece"}, "evaluation.primary.metric: 'ece' has no verdict"),
        (MIRROR | {"metric": "cindex"}, "evaluation.primary.metric: 'cindex' has no verdict (there: accuracy"),
        ({"method": "cox", "metric": "accuracy"}, "'accuracy' is of subtyping, which cox is not run on"),
        (MIRROR | {"cohort": "b"}, "evaluation.primary.cohort: 'b' is not there for this comparison (there: a)"),
        (MIRROR | {"protocol": "x"}, "evaluation.primary.protocol: 'x' is not there"),
        (MIRROR | {"setting": "3-shot"}, "evaluation.primary.setting: '3-shot' is not there"),
        (MIRROR | {"encoder": "phikon"}, "evaluation.primary.encoder: 'phikon' is not there"),
    ],
)
def test_what_is_no_comparison_of_the_run_is_refused(primary, said):
    with pytest.raises(ConfigError) as caught:
        resolve(config(primary))
    assert said in str(caught.value)


def test_two_that_could_be_meant_are_refused():
    two = {"a": minimal()["cohorts"]["a"], "b": minimal()["cohorts"]["a"]}
    with pytest.raises(ConfigError, match=r"evaluation\.primary\.cohort: the run has a, b; name the one that is meant"):
        resolve(config(MIRROR, cohorts=two))
    assert primary_place(resolve(config(MIRROR | {"cohort": "b"}, cohorts=two)))["cohort"] == "b"


def test_a_reference_that_is_not_run_has_no_primary():
    with pytest.raises(ConfigError, match="needs the reference 'concat-linear' in the run"):
        resolve(config(MIRROR, methods={"mirror": {}, "linear": {}}))


# What tables say.


def rows(*comparisons: str) -> pd.DataFrame:
    place = {"protocol": "honest", "cohort": "brca", "encoder": "uni", "setting": "all", "metric": "c_index"}
    return pd.DataFrame(
        {**place, "method": f"m{k}", "reference": "cox", "comparison": kind, "detectable": size, "detectable_holm": 0.3}
        for k, (kind, size) in enumerate(zip(comparisons, (0.1, 0.2, 0.3), strict=False))
    )


def test_a_table_says_which_comparison_was_named():
    said = verdict_notes(rows("exploratory", "primary", "exploratory"))
    assert "Primary, named before the run and not adjusted: m1 against cox by c_index (honest, brca, uni, all)." in said
    assert "All others are exploratory." in said
    assert "Every comparison here is exploratory." in verdict_notes(rows("exploratory"))
    assert rule_note(rows("exploratory").assign(reference="")) == ""


def test_a_table_says_which_cohorts_have_another_reference():
    both = pd.concat([rows("exploratory"), rows("exploratory").assign(reference="linear (uni)", cohort="own")])
    assert rule_note(both).startswith("Better, worse: than cox (brca) or linear (own) on the patients that both have")


def test_a_table_says_what_it_could_have_found():
    said = "Smallest difference detectable with 80 % power: C-index 0.20 (0.30 after Holm)."
    assert detectable_note(rows("exploratory", "exploratory", "exploratory")) == said
    assert detectable_note(rows("exploratory").assign(detectable=float("nan"))) == ""


def test_a_cell_marks_the_primary():
    row = {"mean": 0.6, "sd": 0.1, "ci_low": 0.5, "ci_high": 0.7, "published_mean": None, "suspect": ""}
    assert cell_text(row | {"verdict": "better", "comparison": "primary"}).endswith("[0.500, 0.700], primary: better")
    assert cell_text(row | {"verdict": "worse", "comparison": "exploratory"}).endswith("0.700], worse")
