"""config/tcga.yaml is planned from nothing; each published cell of Tables III to X has its job."""

import re

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from mirrorflow.config.resolve import resolve
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.tables.results import published_key
from runner import ROOT, planned_from, succeed

pytestmark = pytest.mark.workflow
TCGA = ROOT / "config" / "tcga.yaml"
CPTAC = ROOT / "config" / "cptac.yaml"
PREDICTED = re.compile(r"output: results/tcga/predictions/([^/]+)/([^/]+)/([^/]+)/([^/]+)/manifest\.json")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    return succeed(tmp_path_factory.mktemp("tcga"), TCGA, "--dry-run")


@pytest.fixture(scope="module")
def said_with_cptac(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan with CPTAC-KIDNEY, whose files are the user's: empty ones stand in for them."""
    folder = tmp_path_factory.mktemp("cptac")
    for name in ("slides.tsv", "patients.tsv", "rna.tsv.gz", *(f"splits/splits_{fold}.csv" for fold in range(5))):
        file = folder / "cptac" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return succeed(folder, TCGA, "--dry-run", "--configfile", str(TCGA), str(CPTAC))


def published_names() -> dict[str, str]:
    """Our names of methods and those of resources/published_results.csv."""
    return published_key(read_text_sheet(ROOT / "resources" / "names.tsv"), "method")


def test_every_published_cell_is_listed(said: str) -> None:
    config = resolve(yaml.safe_load(TCGA.read_text()))
    predicted = set(PREDICTED.findall(said))
    titles = {entry["title"]: name for name, entry in config["cohorts"].items()}
    published = pd.read_csv(ROOT / "resources" / "published_results.csv")
    cells = published[(published["paper"] == "mirror") & published["table"].isin(["III", "IV"])]
    assert len(cells) > 300
    settings = {"all", *(f"{k}-shot" for k in config["evaluation"]["shots"])}
    assert set(cells["setting"]) <= settings
    assert set(cells["task"]) <= set(config["evaluation"]["tasks"])
    for cohort, encoder, method in set(zip(cells["cohort"], cells["encoder"], cells["method"], strict=True)):
        assert ("paper", titles[cohort], encoder, method) in predicted
        assert ("honest", titles[cohort], encoder, method) in predicted


def test_every_published_cell_of_adaptation_is_listed(said_with_cptac: str) -> None:
    """Tables IX and X; CPTAC-KIDNEY, which the user brings, is config/cptac.yaml."""
    raw = yaml.safe_load(TCGA.read_text())
    update_config(raw, yaml.safe_load(CPTAC.read_text()))
    config = resolve(raw)
    predicted = set(PREDICTED.findall(said_with_cptac))
    titles = {entry["title"]: name for name, entry in config["cohorts"].items()}
    published = pd.read_csv(ROOT / "resources" / "published_results.csv")
    cells = published[(published["paper"] == "mirror") & published["table"].isin(["IX", "X"])]
    assert len(cells) == 24
    assert set(cells["setting"]) == {"adapt-from-BRCA"}
    for cohort, encoder, method, task in set(
        cells[["cohort", "encoder", "method", "task"]].itertuples(index=False, name=None)
    ):
        assert task in set(config["methods"][method]["tasks"]) & set(config["evaluation"]["tasks"])
        for protocol in config["protocols"]:
            assert (protocol, f"{titles[cohort]}--from--brca", encoder, method) in predicted
    assert "results/tcga/tables/adaptation_subtyping.md" in said_with_cptac
    assert "results/tcga/tables/adaptation_survival.md" in said_with_cptac


def test_cptac_adds_a_pair_and_pretrains_nothing(said: str, said_with_cptac: str) -> None:
    before, after = planned_from(said), planned_from(said_with_cptac)
    methods, protocols = 2, 3
    assert after["adapt"] - before["adapt"] == methods * protocols
    assert (
        after["patch_slides"] - before["patch_slides"] == after["extract_features"] - before["extract_features"] == 32
    )
    for rule in ("pretrain_mirror", "train_supervised", "embed", "probe_mirror", "download_slides", "query_gdc"):
        assert after[rule] == before[rule], rule
    assert ("honest", "cptac-kidney", "phikon", "concat-linear") in PREDICTED.findall(said_with_cptac)


def test_a_pair_is_made_from_the_sources_models_and_the_targets_genes(said: str) -> None:
    jobs = planned_from(said)
    pairs, methods, protocols = 3, 2, 3
    assert (
        jobs["adapt"] == jobs["embed_target"] == pairs * methods * protocols
    )  # each protocol has a model scope of its own
    assert jobs["audit"] == jobs["evaluate"] == jobs["require_honesty"] == (4 + pairs) * protocols
    manifest = "results/tcga/predictions/honest/rcc--from--brca/phikon/mirror/manifest.json"
    (job,) = re.findall(rf"rule adapt:\n +input: (.*)\n +output: {re.escape(manifest)}", said)
    assert "/rcc/genes/fold4.tsv" in job
    assert "/brca/models/phikon/mirror/seed42/fold4/done.json" in job
    assert "/rcc/models/" not in job


def test_gene_sets_of_other_methods_are_run_where_they_are_published_and_nowhere_else(said: str) -> None:
    label = published_names()
    published = pd.read_csv(ROOT / "resources" / "published_results.csv").query("paper == 'mirror' and table == 'VII'")
    variants = {name for name in label if "--genes-" in name}
    cells = {(label[m], cohort, encoder) for _, cohort, encoder, m in PREDICTED.findall(said) if m in variants}
    wanted = set(zip(published["method"], published["encoder"], strict=True))
    assert {(method, encoder) for method, _, encoder in cells} == {
        (method, encoder) for method, encoder in wanted if not method.endswith("[genes=mirror]")
    }
    assert {cohort for _, cohort, _ in cells} == {"brca"}
    assert set(published["cohort"]) == {"TCGA-BRCA"}
    assert "store/downloads/porpoise_gene_families/signatures.csv" in said
    assert "store/downloads/survpath_pathways/combine_signatures.csv" in said


def test_slides_rna_tables_and_folds_come_from_where_they_are_published(said: str) -> None:
    jobs = planned_from(said)
    assert jobs["download_slides"] == jobs["patch_slides"] == jobs["drop_slides"] == 4 * 32
    assert jobs["extract_features"] == 2 * 4 * 32
    assert jobs["query_gdc"] == 4
    files = set(re.findall(r"output: store/downloads/(\S+)", said))
    assert {f"mirror_folds_rcc/splits_{fold}.csv" for fold in range(5)} <= files
    assert {f"{name}_clinicalMatrix/{name}_clinicalMatrix" for name in ("KIRC", "KIRP", "KICH")} <= files
    assert "tcga_RSEM_isoform_fpkm/tcga_RSEM_isoform_fpkm.gz" in files


def test_the_counted_jobs_are_those_of_the_plan(said: str) -> None:
    """`make reference` counts them anew."""
    counted = pd.read_csv(ROOT / "resources" / "tcga_jobs.tsv", sep="\t").set_index("rule")["jobs"].to_dict()
    assert counted == dict(planned_from(said))


def test_every_published_ablation_is_listed(said: str) -> None:
    """Tables V, VI and VIII, with the settings of config/ablations.yaml; that file adds what is not published."""
    label = published_names()
    published = pd.read_csv(ROOT / "resources" / "published_results.csv").query("paper == 'mirror'")
    cells = published[published["table"].isin(["V", "VI", "VIII"])]
    config = resolve(yaml.safe_load(TCGA.read_text()))
    titles = {name: entry["title"] for name, entry in config["cohorts"].items()}
    planned = {(titles.get(c), e, label.get(m)) for p, c, e, m in PREDICTED.findall(said) if p == "paper"}
    wanted = set(zip(cells["cohort"], cells["encoder"], cells["method"].map(as_planned), strict=True))
    assert len(wanted) > 20
    assert wanted <= planned
    variants = yaml.safe_load((ROOT / "config" / "ablations.yaml").read_text())["methods"]
    ours = {name: entry["pretrain"] for name, entry in config["methods"].items() if name in variants and "--" in name}
    whole = config["methods"]["mirror"]["pretrain"]
    assert {name: whole | variants[name]["pretrain"] for name in ours} == ours
    assert set(variants) - set(ours) == {"mirror", "mirror--mask-0.5", "mirror--prototypes-300"}


def as_planned(method: str) -> str:
    """The row that is MIRROR itself goes by its weights in Table VIII."""
    return "mirror" if method == "mirror[weights=0.5/0.3/0.2]" else method
