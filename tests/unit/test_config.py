import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import mirrorflow.config
from mirrorflow.config.adaptation import adapted_cohorts
from mirrorflow.config.methods import METHODS, SUPERVISED_TRAINING
from mirrorflow.config.protocols import PROTOCOL_PRESETS, scope_of
from mirrorflow.config.queries import (
    few_shot_prefix,
    gene_variant,
    has_epochs,
    inner_prefixes,
    methods_under,
    planned_models,
    selection_of,
    shots_of,
    split_source,
)
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import fill_defaults, load_schema
from mirrorflow.errors import ConfigError
from mirrorflow.learners.pretrained import split_settings
from mirrorflow.slides.grid import PRESETS
from small_config import minimal

ROOT = Path(__file__).parents[2]


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    return str(caught.value)


def test_minimal_config_is_accepted_with_every_default_filled_in():
    config = resolve(minimal())
    assert config["store"] == "store"
    assert config["seeds"] == [42]
    assert config["slides"]["presets"]["512px-20x"]["min_tissue"] == 0.0  # MIRROR: any pixel of it
    assert config["probe"]["learning_rate"] == 0.002
    assert config["expression"]["selection"]["rfe"]["step"] == 0.05
    assert config["cohorts"]["a"]["clinical"]["time_unit"] == "days"
    assert config["pretrain"]["width"] == 768


def test_resolving_changes_neither_its_input_nor_the_schema():
    raw = minimal(seeds=[42])
    before, schema = yaml.safe_dump(raw), load_schema()
    first = resolve(raw)
    first["seeds"].append(7)
    first["protocols"]["honest"]["unit"] = "slide"
    assert yaml.safe_dump(raw) == before
    assert load_schema() == schema
    assert resolve(raw)["seeds"] == [42]
    assert resolve(raw)["protocols"]["honest"]["unit"] == "patient"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"proob": {}}, ["(top level)", "'proob'", "did you mean 'probe'?", "allowed:", "pretrain"]),
        ({"probe": {"learning_rat": 1}}, ["probe: unknown key 'learning_rat'", "did you mean 'learning_rate'?"]),
        ({"probe": {"zzz": 1}}, ["probe: unknown key 'zzz'", "allowed: batch_size"]),
        ({"probe": {"epochs": "ten"}}, ["probe.epochs", "'ten'", "integer"]),
        ({"probe": {"epochs": 0}}, ["probe.epochs", "0", "minimum of 1"]),
        ({"probe": {"label_smoothing": 1.5}}, ["probe.label_smoothing", "1.5", "maximum of 1"]),
        ({"strict": "yes"}, ["strict", "'yes'", "boolean"]),
        ({"run": "My Run"}, ["run", "'My Run'", "[a-z0-9._-]"]),
        ({"pretrain": {"attention": "flash"}}, ["pretrain.attention", "'flash'", "'nystrom', 'exact'"]),
        ({"protocols": {"honest": {"epoch": "best"}}}, ["protocols.honest.epoch", "'best'", "'last'"]),
        ({"evaluation": {"shots": [0]}}, ["evaluation.shots.0", "0", "minimum of 1"]),
    ],
)
def test_message_names_the_key_the_value_and_what_is_allowed(changes, said):
    message = refused(minimal(**changes))
    assert [part for part in said if part not in message] == []


def test_all_problems_are_reported_at_once():
    message = refused(minimal(strict=3, probe={"epochs": -1}, nonsense=1))
    assert len(message.splitlines()) == 4
    assert all(part in message for part in ("strict", "probe.epochs", "'nonsense'"))


def test_missing_keys_are_named():
    assert "cohorts missing" in refused({"run": "x"})
    raw = minimal()
    del raw["cohorts"]["a"]["encoders"]
    assert "cohorts.a: encoders missing" in refused(raw)


def test_a_number_that_yaml_reads_as_text_is_explained():
    message = refused(minimal(pretrain=yaml.safe_load("learning_rate: 2e-5")))
    assert "pretrain.learning_rate" in message
    assert "2.0e-5" in message


@pytest.mark.parametrize("clinical", [{}, {"survival": "s.tsv"}, {"sheet": "p", "survival": "s", "matrix": "m"}])
def test_clinical_data_come_from_a_sheet_or_from_xena(clinical):
    raw = minimal()
    raw["cohorts"]["a"]["clinical"] = clinical
    message = refused(raw)
    assert "cohorts.a.clinical" in message
    assert "sheet" in message
    assert "survival, matrix" in message


def test_wrong_key_inside_clinical_is_named_rather_than_the_choice():
    raw = minimal()
    raw["cohorts"]["a"]["clinical"]["time_units"] = "days"
    assert "did you mean 'time_unit'?" in refused(raw)


def test_a_name_that_cannot_be_a_path_is_refused():
    raw = minimal()
    raw["cohorts"] = {"TCGA BRCA": raw["cohorts"]["a"]}
    assert "'TCGA BRCA'" in refused(raw)


def test_names_that_are_no_text_are_refused():
    raw = minimal()
    raw["cohorts"] = {True: raw["cohorts"]["a"]}
    assert "cohorts: YAML reads one of its keys as True, which is no text: quote it" in refused(raw)


@pytest.mark.parametrize("name", ["honest", "paper", "honest-published"])
def test_a_protocol_of_a_presets_name_is_that_preset(name):
    raw = minimal(protocols={name: None})
    raw["cohorts"]["a"]["splits"] = {"published": "folder"}
    protocol = resolve(raw)["protocols"][name]
    assert {key: protocol[key] for key in PROTOCOL_PRESETS[name]} == PROTOCOL_PRESETS[name]
    assert protocol["claims_honest"] is (name != "paper")


def test_single_keys_of_a_preset_can_be_set():
    protocols = {"slides": {"preset": "honest", "unit": "slide", "claims_honest": False}}
    protocol = resolve(minimal(protocols=protocols))["protocols"]["slides"]
    expected = PROTOCOL_PRESETS["honest"] | {"unit": "slide", "preset": "honest", "claims_honest": False}
    assert protocol == expected


def test_a_protocol_without_a_preset_says_which_there_are():
    message = refused(minimal(protocols={"mine": {"unit": "slide"}}))
    assert "protocols.mine" in message
    assert "honest, honest-published, paper" in message


def test_repaired_splits_are_those_of_a_folder_and_a_scope_of_their_own():
    raw = minimal(protocols={"honest-published": {"splits": "published-repaired"}, "paper": {}})
    raw["cohorts"]["a"]["splits"] = {"published": "folder"}
    config = resolve(raw)
    assert split_source(config["cohorts"]["a"], "published-repaired") == "folder"
    assert split_source(config["cohorts"]["a"], "random") is None
    assert scope_of(config["protocols"]["honest-published"]).startswith("patient-published-repaired-")
    assert config["protocols"]["paper"]["splits"] == "published"
    raw["cohorts"]["a"]["splits"] = {"mine": "folder", "x-repaired": "folder"}
    with pytest.raises(ConfigError) as refused:
        resolve(raw)
    assert "protocols.honest-published.splits: 'published-repaired' is not one of" in str(refused.value)
    assert "cohorts.a.splits.x-repaired: -repaired at the end is for protocols" in str(refused.value)


@pytest.mark.parametrize("name", ["random", "site_preserved"])
def test_split_files_do_not_bear_the_name_of_folds_that_are_drawn(name):
    raw = minimal(protocols={"honest": {"splits": name}})
    raw["cohorts"]["a"]["splits"] = {name: "folder"}
    with pytest.raises(ConfigError, match=rf"cohorts\.a\.splits\.{name}: the name stands for folds drawn here; choose"):
        resolve(raw)


def test_honest_published_differs_from_honest_in_its_splits_alone():
    honest, published = PROTOCOL_PRESETS["honest"], PROTOCOL_PRESETS["honest-published"]
    assert {key for key in honest if honest[key] != published[key]} == {"splits"}
    assert published["splits"] == "published"


def test_protocols_know_every_key_of_the_schema_and_no_other():
    known = set(load_schema()["properties"]["protocols"]["additionalProperties"]["properties"])
    for name, preset in PROTOCOL_PRESETS.items():
        assert set(preset) | {"preset", "claims_honest"} == known, name


def test_a_methods_own_pretraining_is_checked_and_stands_on_the_section():
    config = resolve(minimal(methods={"mirror--wide": {"pretrain": {"width": 192}}}, pretrain={"epochs": 7}))
    assert config["methods"]["mirror--wide"]["pretrain"].items() <= (config["pretrain"] | {"width": 192}).items()
    assert config["methods"]["mirror--wide"]["pretrain"]["epochs"] == 7
    assert "methods.mirror--wide.pretrain" in refused(minimal(methods={"mirror--wide": {"pretrain": {"widht": 1}}}))


def test_the_papers_grids_are_the_default_presets():
    assert resolve(minimal())["slides"]["presets"] == PRESETS


def test_methods_start_from_their_defaults_and_variants_from_their_method():
    methods = {"linear": {"C": 0.5}, "mirror--exact": {"pretrain": {"attention": "exact"}}, "cox": None}
    config = resolve(minimal(methods=methods))
    assert config["methods"]["linear"]["C"] == 0.5
    assert config["methods"]["linear"]["inputs"] == ["slides"]
    assert config["methods"]["cox"]["tasks"] == ["survival"]
    assert config["methods"]["mirror--exact"]["family"] == "mirror"
    settings = config["methods"]["mirror--exact"]["pretrain"]
    assert settings["attention"] == "exact"
    assert settings.items() <= (config["pretrain"] | {"attention": "exact"}).items()


def test_each_family_gets_the_pretraining_keys_it_knows():
    methods = {"mirror": {}, "tangle": {"pretrain": {"temperature": 0.1}}, "linear": {}}
    config = resolve(minimal(methods=methods))
    for name in ("mirror", "tangle"):
        split_settings(config["methods"][name]["pretrain"], name, patch_dim=8, gene_count=9, seed=0)
    assert config["methods"]["tangle"]["pretrain"]["temperature"] == 0.1
    assert not {"prototypes", "losses", "attention"} & set(config["methods"]["tangle"]["pretrain"])
    assert "pretrain" not in config["methods"]["linear"]


def test_pretraining_keys_of_another_family_are_refused():
    message = refused(minimal(methods={"tangle": {"pretrain": {"prototypes": 9}}}))
    assert "methods.tangle.pretrain.prototypes: no setting of tangle" in message
    assert "methods.linear.pretrain: {width: 9}: linear is not pretrained" in refused(
        minimal(methods={"linear": {"pretrain": {"width": 9}}})
    )


def test_every_method_has_the_settings_its_predictor_needs():
    methods = resolve(minimal())["methods"]
    assert {"linear", "majority", "cox", "mirror"} <= {method["family"] for method in methods.values()}
    for name, method in methods.items():
        needed = {"linear": ["C", "pooling"], "cox": ["components", "alpha", "pooling"]}.get(method["family"], [])
        assert [key for key in needed if key not in method] == [], name


def test_a_supervised_methods_settings_are_merged_key_by_key_with_its_defaults():
    methods = {"abmil": {"train": {"epochs": 3}, "network": {"width": 64}}, "abmil--flat": None}
    config = resolve(minimal(methods=methods))["methods"]
    assert config["abmil"]["train"] == SUPERVISED_TRAINING | {"epochs": 3}
    assert config["abmil"]["network"] == METHODS["abmil"].settings["network"] | {"width": 64}
    assert config["abmil--flat"]["train"] == SUPERVISED_TRAINING
    assert config["abmil--flat"]["family"] == "abmil"


def test_settings_of_another_methods_network_are_refused():
    assert "methods.abmil.network: heads: this method has width, attention_width, dropout" in refused(
        minimal(methods={"abmil": {"network": {"heads": 4}}})
    )
    assert "methods.linear.train: {epochs: 4}: no setting of linear" in refused(
        minimal(methods={"linear": {"train": {"epochs": 4}}})
    )
    assert "unknown key 'epoch'; did you mean 'epochs'?" in refused(minimal(methods={"abmil": {"train": {"epoch": 4}}}))


def test_survpath_asks_for_pathways_and_takes_those_of_the_gene_selection():
    message = refused(minimal(methods={"survpath": None}))
    assert "methods.survpath.gene_sets: pathways are needed" in message
    selection = {"expression": minimal()["expression"] | {"selection": {"gene_sets": "sets.csv"}}}
    assert resolve(minimal(methods={"survpath": None}, **selection))["methods"]["survpath"]["gene_sets"] == "sets.csv"
    own = resolve(minimal(methods={"survpath": {"gene_sets": "random"}}, **selection))
    assert own["methods"]["survpath"]["gene_sets"] == "random"


def test_an_unknown_method_lists_the_known_ones():
    message = refused(minimal(methods={"mirrr": {}}))
    assert "methods.mirrr" in message
    assert "concat-linear" in message


def test_a_reference_that_is_named_must_be_a_method_of_the_run():
    methods = {"linear": {}, "mirror": {}}
    message = refused(minimal(methods=methods, evaluation={"reference": "concat-linear"}))
    assert "evaluation.reference: 'concat-linear' is no method of this run (there: linear, mirror)" in message
    assert resolve(minimal(methods=methods))["evaluation"]["reference"] == "concat-linear"  # by default: no verdicts
    assert resolve(minimal(methods=methods, evaluation={"reference": "linear"}))


def test_references_between_sections_are_checked():
    raw = minimal(protocols={"paper": {}})
    raw["cohorts"]["a"] |= {"expression": "other", "encoders": ["uni", "phikon"]}
    message = refused(raw)
    assert "cohorts.a.expression: 'other'" in message
    assert "there: own" in message
    assert "cohorts.a.encoders: 'phikon'" in message
    assert "protocols.paper.splits: 'published'" in message


def test_an_encoder_needs_a_patching_that_exists():
    raw = minimal(features={"encoders": {"mine": {"model": "resnet50", "weights": "random", "patching": "1024px-20x"}}})
    raw["cohorts"]["a"]["encoders"] = ["mine"]
    assert "features.encoders.mine.patching: '1024px-20x'" in refused(raw)


def test_store_is_filled_into_paths():
    raw = minimal(store="/shared/store")
    raw["cohorts"]["a"]["slides"]["sheet"] = "{store}/simulated/demo/slides.tsv"
    config = resolve(raw)
    assert config["cohorts"]["a"]["slides"]["sheet"] == "/shared/store/simulated/demo/slides.tsv"


def test_a_scope_is_what_decides_the_models():
    paper, honest = PROTOCOL_PRESETS["paper"], PROTOCOL_PRESETS["honest"]
    assert scope_of(paper) == "slide-published-cohort-none-best"
    assert scope_of(honest | {"epoch": "best_on_evaluation"}) == scope_of(honest)
    assert scope_of(honest | {"rna_scaling": "none"}) != scope_of(honest)
    assert scope_of(honest | {"pretraining_epoch": "best_on_evaluation"}) == f"{scope_of(honest)}-best"


def described(schema: dict[str, Any], where: str, definitions: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Every key of the schema and whether it has a description, its own or that of what it refers to."""
    for name, child in schema.get("properties", {}).items():
        target = definitions[child["$ref"].rsplit("/", 1)[-1]] if "$ref" in child else {}
        yield f"{where}.{name}", bool(child.get("description") or target.get("description"))
        yield from described(child, f"{where}.{name}", definitions)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield from described(others, f"{where}.*", definitions)


@pytest.mark.parametrize(
    ("preset", "method", "shots", "prefix"),
    [
        ("honest", "rfe", [10], "few-shot-"),
        ("honest", "variance", [10], ""),  # sees no label anyway
        ("honest", "rfe", [], ""),
        ("paper", "rfe", [10], ""),
    ],
)
def test_k_shot_settings_have_genes_of_their_own_only_where_those_of_the_fold_saw_labels(preset, method, shots, prefix):
    config = {
        "protocols": {preset: PROTOCOL_PRESETS[preset]},
        "expression": {"selection": {"method": method}},
        "evaluation": {"shots": shots},
    }
    assert few_shot_prefix(config, preset) == prefix


def test_every_key_of_the_schema_has_a_description():
    schema = load_schema()
    keys = dict(described(schema, "", schema["$defs"]))
    for name, definition in schema["$defs"].items():
        keys |= dict(described(definition, f"$defs.{name}", schema["$defs"]))
    assert len(keys) > 100
    assert [key for key, has in keys.items() if not has] == []


def objects(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "properties" in schema and where.rsplit(".", 1)[-1] != "properties":
            yield where, schema
        for key, child in schema.items():
            yield from objects(child, f"{where}.{key}")


def test_every_object_of_the_schema_refuses_unknown_keys():
    found = dict(objects(load_schema()))
    assert len(found) > 10
    assert [where for where, schema in found.items() if schema.get("additionalProperties") is not False] == []


def test_defaults_of_the_schema_fit_the_schema():
    schema = load_schema()
    filled = fill_defaults(schema, minimal())
    assert list(Draft202012Validator(schema).iter_errors(filled)) == []


def test_the_config_module_imports_no_heavy_library():
    nodes = [
        node
        for path in sorted(Path(mirrorflow.config.__file__).parent.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "mirrorflow.errors" in names
    assert {name.split(".")[0] for name in names} & {"torch", "pandas", "numpy", "sklearn", "snakemake"} == set()


def test_the_order_of_keys_does_not_matter():
    raw = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())

    def turned(value):
        if isinstance(value, dict) and not {"Alpha Carcinoma", "majority", "honest"} & set(value):
            return {key: turned(item) for key, item in reversed(value.items())}
        return value

    assert json.dumps(resolve(turned(raw))) == json.dumps(resolve(raw))


# Adaptation.


def with_pair(**changes: Any) -> dict[str, Any]:
    """Two cohorts and an adaptation from the first to the second."""
    raw = minimal(methods={"mirror": {}, "tangle": {}, "linear": {}})
    raw["cohorts"]["b"] = raw["cohorts"]["a"] | {"encoders": ["uni", "other"], "features": {"uni": "x", "other": "y"}}
    return raw | {"adaptation": {"a": {"targets": ["b"]} | changes}}


def test_an_adaptation_takes_what_both_cohorts_have():
    raw = with_pair() | {"protocols": {"honest": {}, "paper": {"splits": "random"}}}
    raw |= {"evaluation": {"optimism": {"changes": ["epoch"]}}}
    config = resolve(raw)
    entry = config["adaptation"]["a"]
    assert (entry["methods"], entry["encoders"]) == (["mirror", "tangle"], ["uni"])
    assert entry["protocols"] == ["honest", "paper"], "protocols of single-setting changes take no part"
    (pair,) = adapted_cohorts(config).items()
    assert pair[0] == "b--from--a"
    assert (pair[1]["target"], pair[1]["source"]) == ("b", "a")
    assert adapted_cohorts(resolve(minimal())) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": ["c"]}, ["adaptation.a.targets: 'c' is no cohort (there: a, b)"]),
        ({"targets": ["a"]}, ["adaptation.a.targets: 'a' is the source itself"]),
        ({"targets": []}, ["adaptation.a.targets", "non-empty"]),
        ({"methods": ["linear"]}, ["adaptation.a.methods: 'linear' is not pretrained", "mirror, tangle"]),
        ({"methods": ["mirror--x"]}, ["adaptation.a.methods: 'mirror--x' is no method of this run"]),
        ({"encoders": ["other"]}, ["adaptation.a.encoders: 'other' is no encoder of a"]),
        ({"protocols": ["paper"]}, ["adaptation.a.protocols: 'paper' is no protocol (there: honest)"]),
        ({"embedding_learning_rate": 0}, ["adaptation.a.embedding_learning_rate"]),
    ],
)
def test_what_an_adaptation_cannot_be_is_named(changes, said):
    message = refused(with_pair(**changes))
    assert [part for part in said if part not in message] == []


def test_an_adaptation_needs_its_source_a_shared_encoder_and_something_pretrained():
    assert "adaptation.x: no cohort 'x'" in refused(with_pair() | {"adaptation": {"x": {"targets": ["b"]}}})
    raw = with_pair()
    raw["cohorts"]["b"]["encoders"] = ["other"]
    assert "adaptation.a.encoders: a, b share no encoder" in refused(raw)
    assert "this run pretrains nothing" in refused(with_pair() | {"methods": {"linear": {}}})
    own = with_pair() | {"methods": {"mirror": {}, "mirror--genes-a": {"selection": {"n_genes": 5}}}}
    assert resolve(own)["adaptation"]["a"]["methods"] == ["mirror"]
    own["adaptation"]["a"]["methods"] = ["mirror--genes-a"]
    assert "'mirror--genes-a' has a gene selection of its own" in refused(own)
    elsewhere = with_pair(methods=["mirror"]) | {"methods": {"mirror": {"cohorts": ["b"]}}}
    assert "'mirror' is not run on a (methods.mirror.cohorts)" in refused(elsewhere)


def test_names_of_pairs_are_no_cohorts_of_ones_own():
    raw = with_pair()
    raw["cohorts"]["b--from--a"] = raw["cohorts"]["a"]
    assert "cohorts.b--from--a: names with --from-- are those of adaptation" in refused(raw)


def test_inner_folds_are_asked_for_by_a_nested_epoch_alone():
    config = resolve(
        minimal(splits={"inner_folds": 2}, protocols={"honest": {"epoch": "nested"}, "p": {"preset": "honest"}})
    )
    assert inner_prefixes(config, config["protocols"]["honest"]) == ["inner0-", "inner1-"]
    assert inner_prefixes(config, config["protocols"]["p"]) == []


def test_probes_and_networks_have_epochs_and_classical_methods_none():
    known = {name: {"gene_sets": "random"} if "gene_sets" in METHODS[name].settings else None for name in METHODS}
    methods = resolve(minimal(methods=known))["methods"]
    names = [name for name in known if METHODS[name].kind != "classical"]
    assert [name for name in methods if has_epochs(methods[name])] == names
    assert {"mirror", "tangle", "abmil", "clam", "ilra-mil", "porpoise", "survpath", "tta"} <= set(names)
    assert not {"majority", "clinical", "linear", "rna-linear", "concat-linear", "cox"} & set(names)


# Genes of a method's own.


def with_genes(**selection: Any) -> dict[str, Any]:
    return minimal(methods={"mirror": {}, "mirror--genes-a": {"selection": selection}})


def test_a_methods_own_selection_stands_on_top_of_the_runs():
    config = resolve(with_genes(census=False, rfe={"cv": 2}))
    base, own = selection_of(config, "mirror"), selection_of(config, "mirror--genes-a")
    assert base == selection_of(config) == config["expression"]["selection"]
    assert {key for key in base if own[key] != base[key]} == {"census", "rfe"}
    assert own["rfe"] == base["rfe"] | {"cv": 2}
    assert (gene_variant(config, "mirror"), gene_variant(config, "mirror--genes-a")) == ("", "mirror--genes-a/")


def test_k_shot_genes_go_by_the_methods_own_selection():
    config = resolve(with_genes(method="variance"))
    assert few_shot_prefix(config, "honest", "mirror") == "few-shot-"
    assert few_shot_prefix(config, "honest", "mirror--genes-a") == ""


def test_models_are_counted_with_those_of_k_shot_settings_and_inner_folds():
    """Protocols of one model scope share their models; linear has none; genes without labels serve both settings."""
    raw = with_genes(method="variance") | {"seeds": [1, 2], "splits": {"folds": 3, "inner_folds": 2}}
    raw["methods"] |= {"linear": {}}
    raw["protocols"] = {"honest": {}, "other": {"preset": "honest", "survival_bins": "cohort", "epoch": "nested"}}
    raw["protocols"]["other"]["claims_honest"] = False
    assert planned_models(resolve(raw)) == {"mirror": (1 + 1 + 2) * 2 * 3, "mirror--genes-a": (1 + 2) * 2 * 3}
    raw["evaluation"] = {"shots": []}
    del raw["protocols"]["other"]
    assert planned_models(resolve(raw)) == {"mirror": 2 * 3, "mirror--genes-a": 2 * 3}


def test_single_changes_are_tried_on_the_methods_of_the_optimism_table_and_on_all_data():
    raw = with_genes(method="rfe") | {"seeds": [1], "splits": {"folds": 2}}
    raw["protocols"] = {"honest": {"splits": "random"}, "paper": {"splits": "random", "unit": "patient"}}
    single_changes = {"against": "paper", "changes": ["gene_selection"]}
    every = resolve(raw | {"evaluation": {"shots": [3], "optimism": single_changes}})
    assert shots_of(every, "honest") == [3]
    assert shots_of(every, "change--gene_selection") == []
    assert few_shot_prefix(every, "change--gene_selection", "mirror") == ""
    assert methods_under(every, "change--gene_selection") == ["mirror", "mirror--genes-a"]
    one = resolve(raw | {"evaluation": {"shots": [3], "optimism": single_changes | {"methods": ["mirror"]}}})
    assert methods_under(one, "honest") == ["site", "mirror", "mirror--genes-a"]
    assert methods_under(one, "change--gene_selection") == ["mirror"]
    fewer = planned_models(every)["mirror--genes-a"] - planned_models(one)["mirror--genes-a"]
    assert fewer == 2  # a fold each of the changed protocol's model scope
    with pytest.raises(ConfigError, match=r"optimism\.methods: tangle: the run has mirror"):
        resolve(raw | {"evaluation": {"optimism": single_changes | {"methods": ["tangle"]}}})


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        (
            "abmil--x",
            {"selection": {"method": "none"}},
            "abmil--x.selection: {method: none}: abmil sees no genes",
        ),
        ("mirror--x", {"selection": {"method": "families"}}, "families needs gene_sets"),
        ("mirror--x", {"selection": {"methd": "rfe"}}, "did you mean 'method'"),
        ("mirror--x", {"cohorts": ["b"]}, "methods.mirror--x.cohorts: b: the run has a"),
        ("mirror--x", {"encoders": ["phikon"]}, "methods.mirror--x.encoders: phikon: the run has uni"),
        ("survpath", {"gene_sets": "s.csv", "selection": {"n_genes": 3}}, "are those of the method's gene_sets"),
    ],
)
def test_a_selection_or_a_place_that_makes_no_sense_is_refused(name, entry, said):
    assert said in refused(minimal(methods={name: entry}))


def test_gene_sets_may_be_a_data_set():
    sets = {"gene_sets": {"download": "survpath_pathways"}}
    methods = {"survpath": sets, "mirror--genes-survpath": {"selection": {"method": "pathways", **sets}}}
    config = resolve(minimal(methods=methods))
    path = "store/downloads/survpath_pathways/combine_signatures.csv"
    assert config["methods"]["survpath"]["gene_sets"] == path
    assert selection_of(config, "mirror--genes-survpath")["gene_sets"] == path
    assert config["downloads"]["survpath_pathways"]["path"] == path
    missing = {"mirror--x": {"selection": {"method": "families", "gene_sets": {"download": "nowhere"}}}}
    assert "methods.mirror--x.selection.gene_sets.download: no data set 'nowhere'" in refused(minimal(methods=missing))


def test_thresholds_of_the_mask_that_cross_are_refused_at_start():
    """Checked by every slide's job before: the plan of the store now needs the whole mask."""
    raw = minimal()
    raw["slides"] = {"segmentation": {"min_threshold": 50, "max_threshold": 40}}
    with pytest.raises(ConfigError, match=r"slides: segmentation: min_threshold 50 is above max_threshold 40"):
        resolve(raw)
