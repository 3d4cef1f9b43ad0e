"""config/tta.yaml and the region config are planned: DSS of five cohorts on MMP's folds, unknown causes bounded."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mirrorflow.config.resolve import resolve
from runner import CONFIGS, ROOT, planned_from, succeed

pytestmark = pytest.mark.workflow
TTA = ROOT / "config" / "tta.yaml"
REGIONS = ("tta_regions.yaml", "tta_regions_os.yaml")
SHARED = ROOT.parent / "shared"
COHORTS = ("brca", "blca", "stad", "coadread", "kirc")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    return succeed(tmp_path_factory.mktemp("tta"), TTA, "--dry-run")


FIELD = {
    **dict.fromkeys(("snn", "snntrans"), "none"),
    **dict.fromkeys(("abmil", "clam", "attnmisl", "transmil", "otsurv", "panther", "survpath", "mmp"), "uni"),
}
"""Networks of TTA's Table 1 with the encoder that they see."""
TTA_METHODS = {name: "uni" for name in yaml.safe_load(TTA.read_text())["methods"] if name.split("--")[0] == "tta"}


def test_every_cohort_and_method_is_planned(said: str) -> None:
    predicted = set(re.findall(r"predictions/honest/([^/]+)/([^/]+)/([^/]+)/manifest\.json", said))
    wanted = {
        "majority": "none",
        "site": "none",
        "cox": "uni",
        "concat-linear": "uni",
        **FIELD,
        **TTA_METHODS,
    }
    assert len(TTA_METHODS) == 55
    assert predicted == {(cohort, encoder, method) for cohort in COHORTS for method, encoder in wanted.items()}


def test_folds_tables_and_genes_come_from_where_they_are_published(said: str) -> None:
    jobs = planned_from(said)
    fetched = Counter(re.findall(r"output: store/downloads/([^/]+)/", said))
    assert all(fetched[f"mmp_folds_{cohort}"] == 5 * 2 for cohort in COHORTS)  # train and test of every fold
    assert all(fetched[f"{cohort.upper()}_clinicalMatrix"] == 1 for cohort in COHORTS)
    assert fetched["tcga_RSEM_gene_fpkm"] == fetched["gencode.v23.annotation.gene.probemap"] == 1
    assert fetched["mmp_hallmarks"] == 1
    assert jobs["download_dataset"] == 59
    (splits,) = re.findall(r"rule make_splits:\n +input: (.*)\n +output: .*/kirc/", said)
    assert all(f"mmp_folds_kirc/{part}_{fold}.csv" in splits for part in ("train", "test") for fold in range(5))


def test_slides_are_listed_and_none_is_fetched_or_opened(said: str) -> None:
    jobs = planned_from(said)
    assert jobs["query_gdc"] == jobs["index_features"] == len(COHORTS)
    assert not jobs["download_slides"] + jobs["patch_slides"] + jobs["extract_features"]


def test_each_of_ttas_tables_is_planned_and_its_rows_are_trained_once(said: str) -> None:
    tables = ("presets", "stages", "prototypes", "anchors", "transport", "contrast", "training")
    assert planned_from(said)["make_tables"] == 1
    assert all(f"results/tta/tables/tta_{name}.md" in said for name in tables)
    assert planned_from(said)["train_supervised"] == len(COHORTS) * (len(TTA_METHODS) + len(FIELD))


def test_the_field_is_one_table_of_all_cohorts(said: str) -> None:
    assert planned_from(said)["make_survival_field"] == 1
    (made,) = re.findall(r"rule make_survival_field:\n +input: (.*)\n +output: (.*)\n", said)
    for cohort in COHORTS:
        assert all(f"/{cohort}/{encoder}/{name}/manifest.json" in made[0] for name, encoder in FIELD.items())
    assert "/tta/manifest.json" in made[0]
    assert "tta--" not in made[0]
    assert "results/tta/tables/survival_field.md" in made[1]


def test_what_the_dead_of_unknown_cause_could_change_is_a_table(said: str) -> None:
    jobs = planned_from(said)
    assert (jobs["predict_unknown_causes"], jobs["make_cause_bounds"]) == (len(COHORTS), 1)
    assert "results/tta/tables/cause_bounds.md" in said


def test_a_run_without_a_cause_specific_outcome_has_no_bounds() -> None:
    config = resolve(yaml.safe_load((CONFIGS / "tiny.yaml").read_text()))
    assert not any("cause_specific" in entry["clinical"] for entry in config["cohorts"].values())


@pytest.mark.skipif(not SHARED.exists(), reason="../shared, the data of the regions, is not there")
def test_dss_and_os_of_real_patients_are_entries_of_their_own(tmp_path: Path) -> None:
    """TTA in four settings and seven variants, beside its field on DSS and beside SurvPath on OS."""
    (tmp_path / "shared").symlink_to(SHARED)
    said = {name: succeed(tmp_path / "run", CONFIGS / name, "--dry-run") for name in REGIONS}
    dss, os_ = (planned_from(one) for one in said.values())
    assert dss["build_cohort"] == os_["build_cohort"] == 2
    assert (dss["predict_unknown_causes"], os_["predict_unknown_causes"]) == (2, 0)  # OS has no unknown causes
    assert (dss["train_supervised"], os_["train_supervised"]) == (2 * (len(FIELD) + 11), 2 * (1 + 11))
    assert (dss["make_survival_field"], os_["make_survival_field"]) == (1, 0)
    tables = [f"tables/tta_{name}.md" for name in ("presets", "stages", "prototypes", "anchors")]
    assert all(table in one for table in tables for one in said.values())
