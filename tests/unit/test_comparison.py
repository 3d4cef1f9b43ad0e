"""Whether a cell may stand beside a published one: every setting that differs is named, and nothing else is."""

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config_changes import all_changes
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import load_schema
from mirrorflow.errors import ConfigError
from mirrorflow.metrics import SUBTYPING_METRICS, SURVIVAL_METRICS
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.compared import settings_compared
from mirrorflow.tables.comparison import differences, place_of, why_not_comparable
from mirrorflow.tables.published import (
    METRICS,
    PAPER_GENE_SETS,
    PAPER_VARIANTS,
    PATIENTS,
    PRETRAINING,
    PROBE,
    SINGLE_CHANGES,
    Count,
    Known,
    Unknown,
    published_settings,
)
from mirrorflow.tables.results import BESIDE, COLUMNS, beside_published

RESOURCES = Path(__file__).parents[2] / "resources"
SETS = {"genes-porpoise": "porpoise_gene_families", "genes-survpath": "survpath_pathways"}
SMALL_BAGS = "k-shot draws with a slide under 2,048 patches: kept (paper: drawn again)"
HYPER_PARAMETERS = "the paper names no hyper-parameters of this method"


def as_published() -> dict[str, Any]:
    """A config whose every setting is the paper's, as far as it is known and can be set."""
    cohort = {
        "slides": {"gdc": {"projects": ["TCGA-BRCA"]}},
        "clinical": {"sheet": "brca_tcga_clinical_data.tsv"},
        "clinical_source": "cbioportal",
        "classes": {"Breast Invasive Ductal Carcinoma": "idc", "Breast Invasive Lobular Carcinoma": "ilc"},
        "expression": "toil",
        "census": "cancer_gene_census.csv",
        "encoders": ["resnet50", "phikon"],
        "splits": {"published": {"download": "mirror_folds_brca"}},
    }
    encoder = {"weights": "hub", "patching": "512px-20x"}
    gene_sets = {
        f"mirror--{variant}": {
            "selection": {
                "method": "families" if variant == "genes-porpoise" else "pathways",
                "gene_sets": {"download": name},
                "census": False,
            }
        }
        for variant, name in SETS.items()
    }
    return {
        "run": "paper",
        "cohorts": {"brca": cohort},
        "slides": {"scale": "trident", "segmentation": {"preset": "mirror"}},
        "features": {"encoders": {name: {"model": name, **encoder} for name in cohort["encoders"]}},
        "expression": {
            "sources": {"toil": {"download": "tcga_RSEM_isoform_fpkm"}},
            "selection": {"rfe": {"solver": "sklearn"}},
        },
        "protocols": {"paper": {}, "honest": {}},
        "probe": {"drop_last": True},
        "methods": {
            "linear": {},
            "survpath": {"gene_sets": {"download": "survpath_pathways"}},
            "tangle": {},
            "mirror": {},
            **{name: {"pretrain": changes} for name, changes in PAPER_VARIANTS.items()},
            **gene_sets,
        },
    }


def cell(**changes: Any) -> dict[str, Any]:
    """A row of the metrics, of as many patients as the paper's folds hold."""
    here = {"protocol": "paper", "cohort": "brca", "encoder": "phikon", "setting": "all", "task": "subtyping"}
    counts = {"n": 1010.0, "patients": float(PATIENTS["brca"]), "note": ""}
    return here | {"method": "mirror", "metric": "accuracy"} | counts | changes


CELLS = {
    "subtyping": cell(),
    "macro F1": cell(metric="f1_macro"),
    "survival": cell(task="survival", metric="c_index"),
    "resnet50": cell(encoder="resnet50"),
    "10-shot": cell(setting="10-shot"),
    "10-shot survival": cell(setting="10-shot", task="survival", metric="c_index"),
    "survpath": cell(method="survpath"),
    "tangle": cell(method="tangle"),
    "linear": cell(method="linear", encoder="resnet50"),
    **{name: cell(method=name) for name in PAPER_VARIANTS},
    **{variant: cell(method=f"mirror--{variant}") for variant in PAPER_GENE_SETS},
}


@functools.cache
def settings_as_published() -> dict[str, Any]:
    return settings_compared(resolve(as_published()))


def reasons(config: dict[str, Any] | None = None, **where: Any) -> list[str]:
    return why_not_comparable(settings_compared(resolve(config)) if config else settings_as_published(), cell(**where))


# A published cell and ours, setting by setting.


def published_of(name: str) -> dict[str, Known | Unknown]:
    return published_settings(place_of(settings_as_published(), CELLS[name]))


def taken_over(settings: dict[str, Known | Unknown]) -> dict[str, Any]:
    """Settings of ours that are the published ones."""
    counts = {key: range(one.value, one.value + 1) for key, one in settings.items() if isinstance(one, Count)}
    return {key: one.value for key, one in settings.items() if isinstance(one, Known)} | counts


@pytest.mark.parametrize("name", ["subtyping", "macro F1", "survival", "resnet50", "10-shot", "10-shot survival"])
def test_mirrors_own_settings_differ_in_nothing(name):
    settings = published_of(name)
    assert len(taken_over(settings)) > 60
    assert differences(taken_over(settings), settings) == []


@pytest.mark.parametrize("name", CELLS)
def test_each_setting_that_is_another_is_named_alone(name):
    settings = published_of(name)
    ours = taken_over(settings)
    always = [one.why for one in settings.values() if isinstance(one, Unknown) and one.named]
    for key in ours:
        other = range(3) if isinstance(settings[key], Count) else "another"
        named = [reason for reason in differences(ours | {key: other}, settings) if reason not in always]
        assert len(named) == 1, key
        assert named[0].startswith(f"{key}: "), key


def test_values_that_compute_the_same_are_no_difference():
    settings = published_of("subtyping")
    ours = taken_over(settings) | {"pretraining landmarks": 384, "pretraining precision": "float32"}
    assert differences(ours, settings) == []


def test_every_known_setting_has_a_source():
    for name in CELLS:
        assert all(one.source for one in published_of(name).values() if isinstance(one, Known))
        assert all(one.why for one in published_of(name).values() if isinstance(one, Unknown))


def test_the_published_tables_know_every_key_of_the_schema_and_no_other():
    schema, settings = load_schema(), published_of("resnet50")
    sections = {
        "genes ": set(schema["$defs"]["selection"]["properties"]) - {"rfe"},
        "genes rfe ": set(schema["$defs"]["selection"]["properties"]["rfe"]["properties"]),
        "encoder ": set(_entry(schema, "features", "encoders")) - {"patching"},
        "patch ": {*_entry(schema, "slides", "presets"), "scale"},
        "tissue mask ": set(schema["properties"]["slides"]["properties"]["segmentation"]["properties"]) - {"preset"},
    }
    for prefix, keys in sections.items():
        known = {key.removeprefix(prefix) for key in settings if key.startswith(prefix)}
        assert {key for key in known if not key.startswith("rfe ")} == keys, prefix
    family = {key: child.get("x-family", "mirror") for key, child in schema["$defs"]["pretrain"]["properties"].items()}
    assert set(PRETRAINING) == {key for key, owner in family.items() if owner == "mirror"}
    assert set(PROBE) == set(schema["properties"]["probe"]["properties"])
    assert set(METRICS) <= {*SUBTYPING_METRICS, *SURVIVAL_METRICS}


def _entry(schema: dict[str, Any], section: str, key: str) -> dict[str, Any]:
    return schema["properties"][section]["properties"][key]["additionalProperties"]["properties"]


# From a config to the reasons.


def test_a_config_with_the_papers_settings_differs_by_what_no_setting_replays_alone():
    assert reasons() == []
    assert reasons(encoder="resnet50", metric="f1_macro") == []
    assert reasons(task="survival", metric="c_index") == []
    assert reasons(setting="10-shot") == [SMALL_BAGS]


@pytest.mark.parametrize("name", ["subtyping", "survival", "10-shot"])
def test_were_these_replayed_too_the_cell_would_be_comparable(name, monkeypatch):
    replayed = {key: setting.value for key, setting in SINGLE_CHANGES.items() if isinstance(setting, Known)}
    monkeypatch.setattr("mirrorflow.tables.comparison.SINGLE_CHANGES_HERE", replayed)
    published = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
    ours = pd.DataFrame([dict.fromkeys(COLUMNS, "") | CELLS[name] | {"mean": 0.9}]).drop(columns=BESIDE)
    why_not = functools.partial(why_not_comparable, settings_as_published())
    row = beside_published(ours, published, read_text_sheet(RESOURCES / "names.tsv"), why_not).iloc[0]
    assert (row["comparable"], row["why_not"]) == ("yes", "")
    assert row["delta"] == pytest.approx(0.9 - row["published_mean"])


def test_missing_outcomes_are_a_difference_where_there_are_some():
    found = reasons(task="survival", metric="c_index", patients=940.0)
    assert "missing outcomes: left out (paper: count as 0)" in found
    assert "patients evaluated: 940 (paper: 956)" in found


def test_units_lost_with_the_last_batch_are_the_papers_own_loss():
    lost = "14 evaluation units lost with the last batch"
    assert reasons(note=lost, patients=945.0) == []
    assert "patients evaluated: 930 to 944 (paper: 956)" in reasons(note=lost, patients=930.0)
    assert reasons(note=f"k = 3 (smallest group); {lost}", patients=945.0)[-1] == "k = 3 (smallest group)"


def test_other_methods_have_hyper_parameters_that_nobody_knows():
    assert reasons(method="linear") == [HYPER_PARAMETERS]
    assert reasons(method="tangle") == [HYPER_PARAMETERS]


def test_survpath_is_held_against_its_pathways_and_not_against_the_elimination():
    config = as_published()
    unknown = "pathways: the paper does not say how they met its refined genes (Sec. IV-C)"
    config["expression"]["selection"] = {"method": "variance"}
    assert reasons(config, method="survpath") == [unknown, HYPER_PARAMETERS]
    config["methods"]["survpath"] = {"gene_sets": "hallmarks.csv"}
    assert reasons(config, method="survpath")[0] == "pathways: hallmarks.csv (paper: survpath_pathways)"
    config["methods"]["survpath"] = {"gene_sets": "random"}
    found = reasons(config, method="survpath")
    assert found[:2] == ["genes method: variance (paper: rfe)", "pathways: random (paper: survpath_pathways)"]


@pytest.mark.parametrize("name", PAPER_VARIANTS)
def test_the_papers_ablations_differ_by_what_they_are_named_for_and_nothing_else(name):
    hard = ["the paper does not give the loss of its hard alignment: ours is 1 - cosine"]
    expected = hard if name == "mirror--hard-clustering" else []
    assert reasons(method=name) == expected
    config = as_published()
    config["methods"][name] = {}
    assert len(reasons(config, method=name)) == len(expected) + len(PAPER_VARIANTS[name])


@pytest.mark.parametrize(("variant", "owner"), [("genes-porpoise", "PORPOISE"), ("genes-survpath", "SurvPath")])
def test_gene_sets_of_other_methods_were_published_on_processed_data(variant, owner):
    data = f"expression: tcga_RSEM_isoform_fpkm (paper: the processed data that {owner} provides)"
    assert reasons(method=f"mirror--{variant}") == [data]
    config = as_published()
    config["methods"][f"mirror--{variant}"]["selection"] |= {"gene_sets": "mine.csv", "census": True}
    assert set(reasons(config, method=f"mirror--{variant}")) >= {
        "genes census: yes (paper: no)",
        f"genes gene_sets: mine.csv (paper: {SETS[variant]})",
    }


def test_the_honest_protocol_differs_in_every_key_that_concerns_the_cell():
    found = reasons(protocol="honest", n=956.0)
    assert found == [
        "unit: patient (paper: slide)",
        "gene_selection: fold (paper: cohort)",
        "rna_scaling: train (paper: none)",
        "pretraining_epoch: last (paper: best_on_evaluation, inferred)",
        "epoch: last (paper: best_on_evaluation)",
        "probe_features: frozen (paper: resampled_dropout)",
        "evaluate_all: yes (paper: no)",
        "folds: site_preserved (paper: mirror_folds_brca)",
    ]
    assert "survival_bins: fold (paper: cohort)" in reasons(protocol="honest", task="survival", metric="c_index")
    assert "few_shot_replacement: no (paper: yes)" in reasons(protocol="honest", setting="10-shot")


def test_features_made_elsewhere_are_one_difference():
    config = as_published()
    config["cohorts"]["brca"]["features"] = {"phikon": "elsewhere"}
    assert reasons(config) == ["features: made elsewhere (paper: made from slides)"]


def test_weights_of_ones_own_are_named():
    config = as_published()
    config["features"]["encoders"]["phikon"]["weights"] = "phikon.safetensors"
    assert "encoder weights: phikon.safetensors (paper: hub)" in reasons(config)


def test_frozen_slides_are_named():
    config = as_published()
    config["cohorts"]["brca"]["slides"]["gdc"]["experimental_strategy"] = "Tissue Slide"
    assert "kind of slides: Tissue Slide (paper: Diagnostic Slide)" in reasons(config)


def test_more_classes_than_published_are_named():
    config = as_published()
    config["cohorts"]["brca"]["classes"]["Mixed"] = "mixed"
    assert "number of classes: 3 (paper: 2)" in reasons(config)


def test_other_split_files_are_named_whatever_the_config_calls_them():
    config = as_published()
    config["cohorts"]["brca"]["splits"]["published"] = "my-folds"
    assert "folds: my-folds (paper: mirror_folds_brca)" in reasons(config)


def test_where_the_clinical_tables_came_from_is_named():
    config = as_published()
    del config["cohorts"]["brca"]["clinical_source"]
    assert "label source: a sheet of one's own (paper: cbioportal)" in reasons(config)
    assert "clinical source: a sheet of one's own (paper: cbioportal)" in reasons(config, task="survival")
    config["cohorts"]["brca"]["clinical"] = {
        "survival": "survival.tsv",
        "matrix": "matrix.tsv",
        "outcome": "PFI",
    }
    found = reasons(config, task="survival", metric="c_index")
    assert {"clinical source: xena (paper: cbioportal)", "outcome: PFI (paper: OS)"} <= set(found)


def test_the_open_list_of_drivers_is_named_where_it_chose_genes():
    config = as_published()
    del config["cohorts"]["brca"]["census"]
    assert "census: the open list of drivers (paper: a file given)" in reasons(config)
    assert reasons(config, method="linear") == [HYPER_PARAMETERS]


def test_a_cohort_whose_numbers_are_not_published_says_so():
    config = as_published()
    config["cohorts"] = {"cptac-kidney": config["cohorts"]["brca"]}
    found = reasons(config, cohort="cptac-kidney")
    assert "folds: the paper's of this cohort are not published" in found
    assert "patients: how many the paper evaluates is not known" in found


def test_an_adapted_cohort_is_compared_as_its_target_and_never_without_a_difference():
    config = as_published()
    config["cohorts"]["nsclc"] = config["cohorts"]["brca"] | {
        "splits": {"published": {"download": "mirror_folds_nsclc"}}
    }
    config["adaptation"] = {"brca": {"targets": ["nsclc"], "methods": ["mirror"]}}
    found = reasons(config, cohort="nsclc--from--brca", n=1053.0, patients=903.0)
    assert found[0].startswith("adaptation: ")
    assert found[1:] == []
    config["cohorts"]["brca"]["simulated"] = True
    assert reasons(config, cohort="nsclc--from--brca") == ["simulated cohort"]


def test_a_simulated_cohort_is_compared_with_nothing():
    config = as_published()
    config["cohorts"]["brca"]["simulated"] = True
    assert reasons(config) == ["simulated cohort"]


DECIDE_NOTHING_HERE = (
    *(
        "run",
        "store",
        "strict",
        "keep_models",
        "simulate",
        "downloads",
        "compute",
        "complexity",
        "adaptation",
        "evaluation",
        "explain",
        "new_patients",
    ),
    *("slides.shards", "slides.workers", "features.batch_size", "features.workers", "features.max_unreadable"),
    *("features.saw", "cohorts.<name>.collection"),  # what a reader is told, by the audit
    *("cohorts.<name>.title", "cohorts.<name>.slides", "cohorts.<name>.clinical.", "cohorts.<name>.classes"),
    *("cohorts.<name>.site", "cohorts.<name>.institutions", "cohorts.<name>.census", "cohorts.<name>.tumour_types"),
    *("cohorts.<name>.encoders", "features.encoders.<name>.seed", "features.encoders.<name>.patching", "embed"),
    *("expression.sources.<name>.orientation", "expression.sources.<name>.sample_ids"),
    *("expression.selection.n_genes", "expression.selection.tiers", "expression.selection.gene_sets"),
    *(
        "splits.seed",
        "splits.evaluate",
        "splits.inner_folds",
        "protocols.<name>.claims_honest",
        *("pretrain.temperature", "pretrain.attention_dropout", "pretrain.rna_norm", "pretrain.rna_dropout"),
        "methods",
    ),
)
"""Keys of which a change alone names no difference here: where files lie and how they are read, how fast things go,
what tables show; patients and classes, which are counted; what the paper does not say; what has tests of its own.
"""


def test_every_other_key_of_the_config_names_itself_when_it_is_changed(monkeypatch):
    schema, raw = load_schema(), as_published()
    monkeypatch.setattr("mirrorflow.config.resolve.load_schema", lambda: schema)
    raw["methods"] = {name: raw["methods"][name] for name in ("linear", "mirror")}
    raw["protocols"] = {"paper": {}}
    raw["slides"]["presets"] = {"512px-20x": {"size_px": 512, "min_tissue": 0.0}}
    cells = [where for where in CELLS.values() if where["method"] in raw["methods"]]

    def all_reasons(config: dict[str, Any]) -> set[str]:
        compared = settings_compared(resolve(config))
        return {reason for where in cells for reason in why_not_comparable(compared, where)}

    before, named, silent = all_reasons(raw), set(), []
    for change in all_changes(schema, resolve(raw)):
        if change.key.startswith(DECIDE_NOTHING_HERE):
            continue
        try:
            found = all_reasons(change.apply(raw)) - before
        except ConfigError:  # the other value needs another key, too
            continue
        named |= {change.key} if found else set()
        silent += [] if found else [".".join(change.path)]
    assert silent == ["slides.segmentation.all_if_empty", "features.encoders.phikon.weights_set"]  # as published
    assert len(named) > 60
