"""What encoders were trained on: the table, a config's word, cohorts of public collections, sentences of the report."""

from types import SimpleNamespace
from typing import Any

import pytest

from mirrorflow.audit.encoders import audit_encoders, of_collections
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.resolve import resolve
from mirrorflow.config.saw import DECLARED, SEEN, _table, known, saw
from mirrorflow.errors import ConfigError
from mirrorflow.plan.cohorts import SplitInputs
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.predictions import AuditInputs, PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.report.beside import beside_table
from small_config import minimal


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("hipt-vit256-mean", ("tcga",)),
        ("phikon", ("tcga",)),
        ("phikon_v2", ("tcga", "cptac", "gtex")),
        ("kaiko-vitb8", ("tcga",)),
        ("timm--hf-hub:1aurent/vit_base_patch16_224.kaiko_ai_towards_large_pathology_fms", ("tcga",)),
        ("midnight-12k", ("tcga",)),
        ("h0-mini", ("tcga",)),
        ("timm/hf-hub:MahmoodLab/UNI", ("gtex",)),
        ("virchow2", ("no",)),
        ("h-optimus-0", ("no",)),
        ("prov-gigapath", ("no",)),
        ("conch_v15", ("no",)),
        ("resnet50", ("no",)),
        ("resnet50-simclr", ("unknown",)),
        ("unicorn", ("unknown",)),
        ("phikonish", ("unknown",)),
        ("uni2-h", ("unknown",)),
    ],
)
def test_encoders_are_known_by_their_names(name, what):
    assert known([name]).what == what


def test_every_line_of_the_table_has_a_source_and_words_that_are_known():
    for pattern, line in _table().items():
        assert line.source, pattern
        assert set(line.what) <= set(SEEN), pattern


def run_with(encoders: dict[str, Any], **said: Any) -> dict[str, Any]:
    raw = minimal(features={"encoders": encoders, **said})
    raw["cohorts"]["a"] |= {"encoders": ["uni", *encoders], "features": {"uni": "somewhere"}}
    return resolve(raw)


def test_the_configs_word_comes_first_then_random_weights_then_the_table():
    encoders = {
        "resnet50": {"model": "resnet50", "weights": "hub"},
        "mine": {"model": "phikon", "weights": "hub"},
        "resnet50-random": {"model": "resnet50", "weights": "random"},
        "own": {"model": "resnet50", "weights": "own.safetensors"},
    }
    config = run_with(encoders)
    found = {name: saw(config, name).what for name in ("uni", *encoders)}
    assert found == {
        "uni": ("gtex",), "resnet50": ("no",), "mine": ("tcga",), "resnet50-random": ("no",), "own": ("unknown",),
    }  # fmt: skip
    told = run_with(encoders, saw={"own": ["tcga", "gtex"], "uni": ["unknown"]})
    assert (saw(told, "own").what, saw(told, "own").source) == (("tcga", "gtex"), DECLARED)
    assert saw(told, "uni").what == ("unknown",)
    weights = run_with({"resnet50": {"model": "resnet50", "weights": "w.pth"}})
    assert saw(weights, "resnet50").what == ("unknown",)


def test_what_it_is_said_of_must_be_there_and_no_stands_alone():
    with pytest.raises(ConfigError, match=r"features\.saw\.typo: no cohort has this encoder \(there: uni\)"):
        run_with({}, saw={"typo": ["tcga"]})
    with pytest.raises(ConfigError, match=r"features\.saw\.uni: no, tcga: `no` and `unknown` stand alone"):
        run_with({}, saw={"uni": ["no", "tcga"]})
    with pytest.raises(ConfigError, match="tgca"):
        run_with({}, saw={"uni": ["tgca"]})


def test_features_and_predictions_do_not_depend_on_it():
    one, other = Run(run_with({})), Run(run_with({}, saw={"uni": ["tcga"]}))
    manifest = "results/mine/predictions/honest/a/none/majority/manifest.json"
    records = [PredictionInputs(run).records_of([manifest]) for run in (one, other)]
    assert records[0] == records[1]
    saws = [inputs_of(run).saw(SimpleNamespace(cohort="a"))["uni"]["what"] for run in (one, other)]
    assert saws == [["gtex"], ["tcga"]]


def inputs_of(run: Run) -> AuditInputs:
    return AuditInputs(run, SplitInputs(run), GeneInputs(run), ModelInputs(run), PredictionInputs(run))


def test_a_cohort_is_of_a_collection_by_its_word_or_its_patients_names():
    folds = [Fold((), ("TCGA-AA-0001", "TCGA-AA-0002")), Fold((), ("C3L-00004", "P7"))]
    assert of_collections(folds, "") == {"tcga": ["TCGA-AA-0001", "TCGA-AA-0002"], "cptac": ["C3L-00004"]}
    assert list(of_collections(folds, "cptac")) == ["cptac"]
    assert len(of_collections(folds, "cptac")["cptac"]) == 4
    assert of_collections(folds, "none") == {}
    raw = minimal()
    cohort = SimpleNamespace(cohort="a")
    assert inputs_of(Run(resolve(raw))).collection(cohort) == ""
    raw["cohorts"]["a"]["collection"] = "cptac"
    assert inputs_of(Run(resolve(raw))).collection(cohort) == "cptac"
    raw["cohorts"]["a"]["simulated"] = True
    assert inputs_of(Run(resolve(raw))).collection(cohort) == "none"


def test_an_encoder_of_several_collections_is_warned_of_for_each():
    folds = [Fold((), ("TCGA-AA-0001", "C3N-00001", "P7"))]
    findings, found = audit_encoders({"phikon-v2": known(["phikon-v2"]).plain()}, folds)
    assert [one.count for one in findings] == [1, 1]
    assert "on CPTAC (Filiot et al. 2024" in findings[1].text
    assert "1 of 3 evaluated patients" in findings[1].text
    assert found == {"phikon-v2": "yes"}


# Beside the main tables.


def record(cohort: str, *kinds: str, **more: Any) -> dict[str, Any]:
    findings = [{"kind": kind, "text": f"it tells (a 1.5, b). {kind} again"} for kind in kinds]
    return {"protocol": "paper", "cohort": cohort, "findings": findings, "keys": {"splits": "published"}, **more}


def test_findings_stand_beside_the_tables_that_they_concern_in_a_sentence_each():
    records = [
        record("a", "sites_tell_outcome", "few_events", "encoder_saw_evaluation_slides"),
        record("b--from--a", "sites_tell_outcome"),
        record("b", "sites_tell_class", lacking_sites="No patient's site is known."),
    ]
    assert beside_table(records, "paper", "survival") == [
        "a: it tells (a 1.5, b).",
        "a: it tells (a 1.5, b).",
        "b: No patient's site is known.",
    ]
    assert beside_table(records, "paper", "subtyping")[1] == "b: it tells (a 1.5, b)."
    assert beside_table(records, "honest", "survival") == []
    apart = [record("b", lacking_sites="No.", keys={"splits": "site_preserved"})]
    assert beside_table(apart, "paper", "survival") == []
