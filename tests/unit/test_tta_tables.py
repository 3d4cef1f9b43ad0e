"""TTA's tables: each published row is a method of config/tta.yaml, and stands beside it where the outcome is DSS."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mirrorflow.audit.findings import audit_protocol
from mirrorflow.config.families import settings_of
from mirrorflow.config.fields import default_of, keys_of
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.queries import methods_under
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.evaluation.verdicts import NOTHING
from mirrorflow.models.seam import Batch, Progress, TargetTensors
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.models.tta import objective
from mirrorflow.report.blocks import Heading
from mirrorflow.report.further import further_sections
from mirrorflow.steps.results.further_table import Params, make_further_table
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.compared import disease_specific, settings_compared
from mirrorflow.tables.comparison import why_not_comparable
from mirrorflow.tables.further import FURTHER_TABLES, further_table, methods_of, variants_of, wanted_tables
from mirrorflow.tables.main import cell_text
from mirrorflow.tables.published_tta import NETWORK, PAPER_VARIANTS, PATIENTS, TRAIN
from mirrorflow.tables.results import beside_published, published_cells, published_key
from mirrorflow.tables.variants import OVERALL, variant_table

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources"
RAW = yaml.safe_load((ROOT / "config" / "tta.yaml").read_text())
CONFIG = resolve(RAW)
COMPARED = settings_compared(CONFIG)
METHODS = [name for name in CONFIG["methods"] if name.split("--")[0] == "tta"]
VARIANTS = [name for name in METHODS if name not in ("tta", "tta--released", "tta--released-masked", "tta--equations")]
PUBLISHED = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
OF_TTA = PUBLISHED[PUBLISHED["paper"] == "tta"]
NAMES = read_text_sheet(RESOURCES / "names.tsv")
LABELS = published_key(NAMES, "method")
COHORTS = ("brca", "blca", "stad", "coadread", "kirc")
TABLES = [table for table in FURTHER_TABLES if table.paper == "tta"]


def cell(**changes: Any) -> dict[str, Any]:
    """A row of the metrics of the patients that the paper evaluates, as ``evaluate`` writes it."""
    where = {"protocol": "honest", "cohort": "blca", "encoder": "uni", "setting": "all", "task": "survival"}
    numbers = {"method": "tta", "metric": "c_index", "mean": 0.6, "sd": 0.02, "ci_low": 0.5, "ci_high": 0.7}
    counts = {"n": 359.0, "patients": 359.0, "folds": 5, "seeds": 1, "seed_sd": np.nan, "gene_labels": np.nan}
    text = dict.fromkeys(("by_fold", "why_undefined", "tau_days", "unstable", "predictions"), "")
    more = {"note": "DSS, cause-specific", "encoder_saw_evaluation_slides": "no"}
    return where | numbers | counts | text | more | NOTHING | changes


def reasons(method: str, config: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    compared = settings_compared(resolve(config)) if config else COMPARED
    return why_not_comparable(compared, cell(method=method, **changes))


def value(table: str, label: str, cohort: str = "TCGA-BLCA") -> float:
    mine = OF_TTA[(OF_TTA["table"] == table) & (OF_TTA["method"] == label) & (OF_TTA["cohort"] == cohort)]
    (found,) = mine["mean"]
    return float(found)


# The config: a method a published row, and no other.

WITHOUT_ONE_OF_ITS_OWN = {
    "tta[-anchor-contrast]": "tta--together",
    "tta[multi-head: H=5]": "tta",
    "tta[instance-to-prototype assignment: UOT (with curriculum mass)]": "tta",
    "tta[shared prototypes: K=32]": "tta",
    "tta[kl-constraint weight: gamma=0.1]": "tta",
    "tta[instance loss weight: lambda_inst=0.5]": "tta",
    "tta[contrastive temperature: tau_r=0.1]": "tta",
    "tta[contrastive loss weight: lambda_contrast=0.5]": "tta",
}
"""Published rows whose numbers are those of another, which is trained once."""


def test_every_published_row_is_a_method_and_every_method_a_published_row():
    rows = set(OF_TTA.loc[OF_TTA["method"].str.startswith("tta"), "method"])
    assert {LABELS[name] for name in METHODS} == rows - set(WITHOUT_ONE_OF_ITS_OWN)
    named = {name for name in NAMES["name"] if name.startswith("tta--")}
    assert named == {name for name in METHODS if name != "tta"}


@pytest.mark.parametrize(("label", "same"), WITHOUT_ONE_OF_ITS_OWN.items())
def test_a_row_that_is_not_trained_again_has_the_numbers_of_the_one_that_is(label, same):
    twin = OF_TTA[OF_TTA["method"] == LABELS[same]].query("encoder == 'uni'")
    for cohort, mean, sd in OF_TTA.loc[OF_TTA["method"] == label, ["cohort", "mean", "sd"]].to_numpy():
        other = twin[twin["cohort"] == cohort].iloc[0]
        assert (mean, cohort) == (other["mean"], cohort)
        assert np.isnan(sd) or sd == other["sd"]


def test_tables_2_3_and_6_run_under_the_released_codes_settings_too():
    both = {"2", "3", "6"}
    for name in (name.removeprefix("tta--") for name in VARIANTS if not name.startswith("tta--released")):
        tables = set(OF_TTA.loc[OF_TTA["method"] == LABELS[f"tta--{name}"], "table"])
        other = f"tta--released-{name.replace('gamma', 'semantic')}"
        assert (other in METHODS) == bool(tables & both), name


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_the_keys_that_it_is_named_for_and_no_other(name):
    variant = name.removeprefix("tta--")
    base = CONFIG["methods"]["tta--released" if variant.startswith("released-") else "tta"]
    entry = CONFIG["methods"][name]
    said = {**RAW["methods"][name].get("network", {}), **RAW["methods"][name].get("train", {})}
    changed = {
        key: entry[part].get(key)
        for part in ("network", "train")
        for key in {*entry[part], *base[part]}
        if entry[part].get(key) != base[part].get(key)
    }
    assert changed == said
    assert {key: entry[key] for key in ("gene_sets", "inputs", "tasks")} == {
        key: base[key] for key in ("gene_sets", "inputs", "tasks")
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_it_changes_what_the_paper_changes(name):
    """But for gamma, which released code has at 1 throughout: there it is the similarity's weight that is swept."""
    variant = name.removeprefix("tta--").removeprefix("released-")
    entry = CONFIG["methods"][name]
    ours = entry["network"] | entry["train"]
    expected = PAPER_VARIANTS[variant]
    if variant.startswith("gamma-"):
        expected = {"gamma": expected["semantic"]}
    of_bags = ("evaluation_tokens", "full_bag") if variant == "tokens-2048" else ()
    assert {key: ours[key] for key in expected if key not in of_bags} == {
        key: one for key, one in expected.items() if key not in of_bags
    }


def test_the_eight_variants_of_real_patients_have_the_same_names_and_settings():
    regions = yaml.safe_load((ROOT / "tests/workflow/configs/tta_regions.yaml").read_text())["methods"]
    ours = {name: entry for name, entry in regions.items() if name.startswith("tta--") and "preset" not in entry}
    assert len(ours) == 7
    for name, entry in ours.items():
        network = {key: one for key, one in entry["network"].items() if key != "width"}
        assert network == RAW["methods"][name]["network"], name


def test_equations_is_a_row_of_its_own_and_has_no_variant():
    assert [name for name, entry in RAW["methods"].items() if (entry or {}).get("preset") == "equations"] == [
        "tta--equations"
    ]


def test_tta_paper_is_a_comment_away_and_plans_every_method():
    text = (ROOT / "config" / "tta.yaml").read_text()
    assert "\n  # tta-paper:\n" in text
    config = resolve(yaml.safe_load(text.replace("\n  # tta-paper:\n", "\n  tta-paper:\n")))
    assert config["protocols"]["tta-paper"]["epoch"] == "least_loss_on_evaluation"
    assert not config["protocols"]["tta-paper"]["claims_honest"]
    assert set(METHODS) <= set(methods_under(config, "tta-paper"))


def test_the_audit_says_that_the_epoch_was_chosen_on_the_evaluation_fold():
    (epoch,) = [one for one in audit_protocol(PROTOCOL_PRESETS["tta-paper"]) if one.kind == "epoch"]
    assert epoch.level == "leak"
    assert epoch.text == "the reported epoch of the probe is that of the least loss on the evaluation fold"


@pytest.mark.parametrize("name", METHODS)
def test_every_row_learns(name):
    """At a small width, on bags that are full."""
    entry = CONFIG["methods"][name]
    small = {"width": 8, "prototypes": 3, "full_bag": min(entry["network"]["full_bag"], 6)}
    outputs = 4 if entry["train"]["survival"] == "hazards" else 1
    network = build_network("tta", Sizes(5, 4, outputs, ((0, 1), (2, 3))), entry["network"] | small, 0)
    source = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 6, dtype=torch.bool)
    seen = Batch(torch.randn(3, 6, 5, generator=source), mask, torch.randn(3, 4, generator=source), TargetTensors())
    network.at(Progress(0, 0, 0.0))
    of = objective(network, OfLogits())
    terms = of.terms(network.train()(seen), seen, Progress(0, 0, 0.0))
    settings = entry["network"]
    plans = settings["transport"] not in ("off", "kmeans")
    assert ("pseudo_label_slides" in terms) == plans
    assert ("views_rna" in terms) == (plans and settings["heads"] > 0)
    assert ("contrast" in terms) == (settings["contrast_weight"] > 0)
    sum(terms.values()).backward()
    gradients = [one.grad for one in network.parameters() if one.grad is not None]
    assert all(bool(torch.isfinite(one).all()) for one in gradients)
    assert any(bool(one.any()) for one in gradients)


class OfLogits:
    """A stand-in for the task's objective."""

    def terms(self, out: Any, batch: Batch, at: Progress) -> dict[str, torch.Tensor]:
        return {"task": out.logits.square().mean()}

    def weights(self, at: Progress) -> dict[str, float]:
        return {}


# Which rows a table shows.


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_a_table_shows_all_rows_of_its_number_and_the_whole_method(table):
    shown = [name for name in methods_of(table, METHODS) if not name.startswith("tta--released")]
    labels = {table.relabelled.get(name) or LABELS[name] for name in shown}
    rows = OF_TTA[OF_TTA["table"].isin(table.published) & OF_TTA["method"].str.startswith("tta")]
    again = {label for label, same in WITHOUT_ONE_OF_ITS_OWN.items() if same == "tta"}
    assert labels | again >= set(rows["method"])
    assert labels <= set(rows["method"])
    assert shown[0] == "tta"


def test_a_run_of_all_has_all_of_them_and_none_of_mirrors():
    assert wanted_tables(METHODS, COHORTS, [], ["survival"]) == [table.name for table in TABLES]
    assert wanted_tables(["tta", "mirror--together"], COHORTS, [], ["survival"]) == ["variants"]
    assert variants_of(further_table("ablation_style"), ["tta--style", "mirror--style"]) == ["mirror--style"]


def test_the_report_heads_them_as_the_method_is_written():
    (section,) = further_sections({"tta_stages": ("Caption.", [["method"], ["TTA"]])})
    assert Heading("TTA stages") in section.blocks


# What stands beside a cell.


def joined(*cells: dict[str, Any], dss: tuple[str, ...] = COHORTS) -> pd.DataFrame:
    return beside_published(pd.DataFrame(cells), PUBLISHED, NAMES, lambda _cell: ["differs"], dss)


def test_dss_stands_beside_ttas_tables_and_other_outcomes_do_not():
    table = joined(cell(), cell(method="abmil", cohort="brca"), cell(method="tta--released-apart"))
    assert table["published_mean"].tolist() == [0.662, 0.566, 0.651]
    assert table["published_ddof"].tolist() == ["1", "", "1"]
    os_ = joined(cell(), cell(cohort="brca-os"), dss=("brca-os",))
    assert os_["published_mean"].isna().all()


def test_mirrors_values_of_overall_survival_stand_beside_no_dss():
    mirror = cell(method="abmil", cohort="brca", encoder="phikon")
    assert joined(mirror, dss=("brca",))["published_mean"].isna().all()
    assert joined(mirror, dss=())["published_mean"].notna().all()


def test_another_encoder_or_metric_has_no_published_value():
    table = joined(cell(encoder="hipt-vit256-mean"), cell(metric="ibs"), cell(encoder="resnet50"))
    assert table["published_mean"].isna().tolist() == [True, True, False]
    assert table["published_mean"].iloc[2] == value("8", "tta")


def test_a_published_cell_stands_once():
    known = published_cells(PUBLISHED)
    assert not known.duplicated(["cohort", "encoder", "setting", "task", "method", "metric"]).any()
    assert set(known.loc[known["paper"] == "tta", "metric"]) == {"c_index_dss"}


def test_the_configs_outcomes_say_whose_tables_these_are():
    assert disease_specific(COMPARED) == set(COHORTS)
    config = yaml.safe_load(yaml.safe_dump(RAW))
    config["cohorts"]["brca"]["clinical"] |= {"outcome": "OS"}
    del config["cohorts"]["brca"]["clinical"]["cause_specific"]
    assert disease_specific(settings_compared(resolve(config))) == set(COHORTS) - {"brca"}


# Why no cell is comparable, and what else differs.

ALWAYS = [
    "seeds: 42 (released code: 1)",
    "epoch: last (released code: least_loss_on_evaluation, inferred)",
    "expression: the paper does not say which matrix it took",
    "features: made elsewhere (paper: made from slides)",
]
NOT_REPLAYED = [
    "draws at evaluation: once, by the bag's size (released code: anew at each access)",
    "transport of a batch with a slide under 4,096 patches: each slide solved by itself "
    "(released code: one sweep for all of it)",
    "transport of the views: without the tokens' similarity (released code: with the tokens' similarity)",
]
LABELS_OF_THE_LOG = "network labels: rows (released log: mass, inferred)"


def test_released_differs_in_what_no_setting_replays_alone():
    assert reasons("tta--released") == [*ALWAYS, LABELS_OF_THE_LOG, *NOT_REPLAYED]
    classifiers = "respective prototypes: prototypes of each modality here, linear layers in the released code"
    for name in (name for name in VARIANTS if name.startswith("tta--released-")):
        more = [classifiers] if name == "tta--released-respective" else []
        assert reasons(name) == [*ALWAYS, LABELS_OF_THE_LOG, *NOT_REPLAYED, *more], name


def test_the_default_names_every_choice_of_ours():
    found = reasons("tta")
    for key, one in CONFIG["methods"]["tta--released"]["network"].items():
        ours = CONFIG["methods"]["tta"]["network"][key]
        named = any(reason.startswith(f"network {key}: ") for reason in found)
        assert named == (ours != one and key != "labels"), key
    assert "network gamma: 0.1 (released code: 1.0)" in found
    assert "train warmup_epochs: 1 (released code: 15)" in found
    assert "network semantic: 0.0 (released code: 0.3, inferred)" in reasons("tta--gamma-0.3")
    assert any(reason.startswith("contrast without anchors: ") for reason in reasons("tta--contrast"))


def test_a_variant_with_other_settings_than_its_name_says_is_told():
    config = yaml.safe_load(yaml.safe_dump(RAW))
    config["methods"]["tta--released-heads-3"]["network"] = {"heads": 4}
    assert "network heads: 4 (paper: 3)" in reasons("tta--released-heads-3", config)


def test_methods_of_the_comparison_were_trained_nobody_knows_how():
    assert reasons("abmil")[-1] == reasons("survpath")[-1] == "how the paper trained this method is not published"


def test_other_folds_patients_and_genes_are_named():
    config = yaml.safe_load(yaml.safe_dump(RAW))
    config["cohorts"]["blca"]["splits"] = {"mmp": {"download": "mmp_folds_kirc"}}
    config["methods"]["tta"]["gene_sets"] = {"download": "survpath_pathways"}
    found = reasons("tta", config, patients=300.0)
    assert "folds: mmp_folds_kirc (paper: mmp_folds_blca)" in found
    assert "pathways: survpath_pathways (paper: mmp_hallmarks)" in found
    assert "patients evaluated: 300 (paper: 359)" in found


def test_resnet50_of_table_8_is_an_unknown_network():
    assert any("768 wide" in reason for reason in reasons("tta", encoder="resnet50"))
    assert not any("768 wide" in reason for reason in reasons("tta"))


def test_the_papers_protocol_differs_in_the_epoch_no_more():
    config = yaml.safe_load(yaml.safe_dump(RAW))
    config["protocols"] = {"tta-paper": None}
    assert not any(reason.startswith("epoch: ") for reason in reasons("tta", config, protocol="tta-paper"))
    assert PROTOCOL_PRESETS["tta-paper"]["splits"] == "mmp"


def test_published_settings_have_every_key_of_the_method_and_no_other():
    parts = settings_of("network", "tta")
    assert set(NETWORK) == {one.name for one in keys_of(parts["SETTINGS"])}
    assert set(TRAIN) == {one.name for one in keys_of(parts["TRAIN"])}
    assert set(PATIENTS) == set(COHORTS)


# The page docs/tta.md.


def page_rows(section: str) -> dict[str, list[str]]:
    """Key -> its values under sound, equations and released, and where they are from."""
    text = (ROOT / "docs" / "tta.md").read_text().split("## Key by key")[1].split("\n## ")[0]
    part = text.split("Of `methods.<name>.train`")[section == "train"]
    rows = [[one.strip() for one in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.mark.parametrize("section", ["network", "train"])
def test_the_page_has_every_key_of_the_presets_with_its_value_and_source(section):
    rows = page_rows(section)
    presets = [CONFIG["methods"][name][section] for name in ("tta", "tta--equations", "tta--released")]
    defaults = {one.name: default_of(one) for one in keys_of(settings_of("network", "tta")["TRAIN"])}
    if section == "network":
        assert list(rows) == [one.name for one in keys_of(settings_of("network", "tta")["SETTINGS"])]
    for key, (*said, source) in rows.items():
        values = [preset.get(key, defaults.get(key)) for preset in presets]
        assert [yaml.safe_load(one) for one in said] == values, key
        assert source.startswith(("paper, ", "code")), key
    differ = {key for key in presets[0] if any(one.get(key) != presets[0][key] for one in presets)}
    assert differ <= set(rows)


def test_the_page_names_every_method_and_table():
    text = (ROOT / "docs" / "tta.md").read_text()
    assert all(f"`{table.name}`" in text for table in TABLES)
    short = {name.rsplit("-", 1)[0] if name[-1].isdigit() else name for name in VARIANTS if "released" not in name}
    assert [name for name in short if f"`{name}" not in text and "gamma" not in name] == []


# Suspect cells.


def test_means_are_those_of_their_rows_but_for_five_that_are_cut_and_marked():
    means = OF_TTA[OF_TTA["cohort"] == "mean"]
    cut = {}
    for row in means.to_dict("records"):
        mine = OF_TTA[(OF_TTA["table"] == row["table"]) & (OF_TTA["method"] == row["method"])]
        whole = mine.loc[mine["cohort"] != "mean", "mean"]
        assert len(whole) == 5
        if round(whole.mean() + 1e-9, 3) != row["mean"]:
            assert row["mean"] == int(whole.mean() * 1000 + 1e-6) / 1000
            cut[row["method"]] = whole.mean()
    respective = "tta[respective prototypes and respective uot]"
    expected = {"snn": 0.6118, "attnmisl": 0.6076, "panther": 0.6156, "mcat": 0.6158, respective: 0.6818}
    assert cut == pytest.approx(expected, abs=1e-9)
    marked = means[means["suspect"].str.startswith("truncated")]
    assert {m: s.rsplit(" ", 1)[1] for m, s in zip(marked["method"], marked["suspect"], strict=True)} == {
        method: f"{mean:.4f}" for method, mean in expected.items()
    }


def test_the_other_suspect_cells_are_marked_and_otsurvs_deviations_have_ddof_0():
    doubted = OF_TTA[(OF_TTA["suspect"] != "") & (OF_TTA["cohort"] != "mean")]
    where = set(zip(doubted["table"], doubted["method"], doubted["cohort"], strict=True))
    cohorts = ("TCGA-BRCA", "TCGA-BLCA", "TCGA-STAD", "TCGA-KIRC")
    assert where == {("8", "tta", "TCGA-BRCA"), *(("1", "otsurv", cohort) for cohort in cohorts)}
    assert (OF_TTA["ddof"] == "0").sum() == 4
    ours = OF_TTA[OF_TTA["method"].str.startswith("tta") & (OF_TTA["cohort"] != "mean")]
    assert set(ours["ddof"]) == {"1"}
    row = cell() | {"published_mean": 0.637, "published_sd": 0.065, "published_ddof": "0", "suspect": "sd"}
    assert cell_text(row).endswith("(published 0.637 ± 0.065, ddof 0, suspect)")


# The tables, from rows of the metrics.


def shown(name: str, *cells: dict[str, Any], dss: tuple[str, ...] = COHORTS) -> pd.DataFrame:
    return variant_table(further_table(name), pd.DataFrame(cells), PUBLISHED, NAMES, METHODS, {}, dss)


def test_a_row_stands_beside_the_value_of_the_table_that_shows_it():
    rows = [cell(), cell(method="tta--together"), cell(method="tta--released-together"), cell(method="abmil")]
    stages, anchors = shown("tta_stages", *rows), shown("tta_anchors", *rows)
    for table in (stages, anchors):
        assert table["method"].tolist() == ["tta", "tta--together", "tta--released-together"]
        assert table["blca, all, C-index"].str.contains("0.600 ± 0.020 [0.500, 0.700]", regex=False).all()
        values = table["blca, all, C-index"].str.extract(r"\(published (.*)\)", expand=False).tolist()
        assert values == ["0.662 ± 0.079", "0.682 ± 0.067", "0.682 ± 0.067"]


@pytest.mark.parametrize(("name", "variant"), [("tta_transport", "heads-3"), ("tta_contrast", "contrast-weight-1.0")])
def test_the_default_stands_in_every_sweep_without_being_trained_again(name, variant):
    table = shown(name, cell(), cell(method=f"tta--{variant}"))
    assert table["blca, all, C-index"].str.contains("published").all()
    assert "published 0.662" in table["blca, all, C-index"].iloc[0]


def test_a_cohort_of_another_outcome_has_no_published_value_in_them():
    table = shown("tta_stages", cell(), cell(method="tta--apart"), dss=())
    assert not table["blca, all, C-index"].str.contains("published").any()


def test_every_published_cell_of_whole_methods_stands_beside_ours_with_or_without_slides():
    """Tables 1 and 8: a method that sees no slide has the encoder ``none``, ours and the published one."""
    names = {label: name for name, label in LABELS.items() if name in CONFIG["methods"] and "--" not in name}
    cohorts = {label: name for name, label in published_key(NAMES, "cohort").items() if name in COHORTS}
    wanted = OF_TTA[OF_TTA["table"].isin(["1", "8"]) & OF_TTA["method"].isin(names) & OF_TTA["cohort"].isin(cohorts)]
    cells = pd.DataFrame(
        cell(
            method=names[row["method"]],
            cohort=cohorts[row["cohort"]],
            encoder=row["encoder"] if "slides" in CONFIG["methods"][names[row["method"]]]["inputs"] else "none",
        )
        for row in wanted.to_dict("records")
    )
    found = beside_published(cells, PUBLISHED, NAMES, lambda _: [], disease_specific(COMPARED))
    assert {"snn", "snntrans", "abmil", "tta"} <= set(found["method"])
    assert found["published_mean"].tolist() == wanted["mean"].tolist()


def test_the_mean_stands_where_all_five_cohorts_are_there_and_a_cut_one_is_marked():
    rows = [cell(cohort=name, mean=0.5 + at / 100, method="tta--respective") for at, name in enumerate(COHORTS)]
    text = shown("tta_prototypes", *rows)[f"{OVERALL}, all, C-index"].iloc[0]
    assert text == "0.520 (published 0.681, suspect)"
    for some in (rows[:4], [*rows[:4], cell(cohort="kirc-os", method="tta--respective")]):
        assert not any(OVERALL in name for name in shown("tta_prototypes", *some))


def test_a_mean_over_cohorts_has_no_cohorts_patients():
    """Methods of other patients on one cohort: n stands there, and not of one cohort with the mean over all."""
    rows = [
        cell(cohort=name, method=method, patients=100.0 + at, train_patients="80 81", patient_set=f"{name}{method}")
        for at, name in enumerate(COHORTS)
        for method in ("tta", "tta--together")
    ]
    table = shown("tta_stages", *rows)
    assert table["brca, all, C-index"].str.contains("n = 100 (trained on 80 to 81)", regex=False).all()
    assert not table[f"{OVERALL}, all, C-index"].str.contains("n = ").any()


def test_from_metrics_to_the_table_of_a_simulated_cohort(tmp_path):
    """brca simulated, DSS: the published value stands there, and that nothing of it may be compared."""
    config = yaml.safe_load(yaml.safe_dump(RAW))
    config["cohorts"]["brca"]["simulated"] = True
    compared = settings_compared(resolve(config))
    sheet = tmp_path / "brca.tsv"
    methods = ("tta", "tta--no-stages")
    pd.DataFrame([cell(cohort="brca", method=name) for name in methods]).to_csv(sheet, sep="\t", index=False)
    files = (RESOURCES / "published_results.csv", RESOURCES / "names.tsv")
    make_results([sheet], *files, tmp_path / "results.csv", compared)
    results = read_text_sheet(tmp_path / "results.csv")
    assert results["published_mean"].tolist() == ["0.726", "0.682"]
    assert results["why_not"].tolist() == ["simulated cohort"] * 2
    assert (results["delta"] == "").all()
    params = Params("tta_stages", METHODS, {}, "test", sorted(disease_specific(compared)))
    make_further_table(params, tmp_path / "results.csv", *files, tmp_path / "tta_stages")
    text = (tmp_path / "tta_stages.md").read_text()
    assert "| TTA (neither stage) | 0.600 ± 0.020 [0.500, 0.700] (published 0.682 ± 0.082) |" in text
    assert "no cell is comparable" in text
    assert "Macro F1" not in text


def test_fewer_tokens_than_a_full_bag_are_refused_at_start():
    """Under `released` no training step would have a plan, without a word."""
    text = yaml.safe_load((ROOT / "config/tta.yaml").read_text())
    text["methods"]["tta--released"]["train"] = {"tokens": 2048}
    with pytest.raises(ConfigError, match=r"released.network.full_bag: 4096 tokens .* draws 2048, .*; set full_bag"):
        resolve(text)
    text["methods"]["tta--released"]["network"] = {"full_bag": 2048}
    resolve(text)
