"""The demo as `make run` leaves it: the planted signal is found, nothing runs again."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mirrorflow.cohorts.patients import to_units
from mirrorflow.demo.factors import draw_patients
from mirrorflow.demo.settings import complete_settings
from mirrorflow.demo.slides import SlidePlan, plan_slides, planted_in
from mirrorflow.learners.explained import NetworkOnUnit
from mirrorflow.learners.saved import RawUnits, load_trained
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.method_predictions import read_manifest
from mirrorflow.store.patches import read_patches
from mirrorflow.store.tables import read_cohort
from mirrorflow.training.removal import effects
from runner import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
SHARED = ROOT.parent / "shared"


def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "all", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo() -> Path:
    """The demo's results; computed now where `make run` has not been called."""
    done = snakemake()
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return ROOT / "results/demo"


def value(results: pd.DataFrame, method: str, metric: str, protocol: str = "honest") -> pd.Series:
    rows = results[
        (results["method"] == method)
        & (results["metric"] == metric)
        & (results["protocol"] == protocol)
        & (results["setting"] == "all")
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def test_nothing_re_runs(demo: Path) -> None:
    said = snakemake("--dry-run")
    assert "Nothing to be done" in said.stdout + said.stderr


def test_contract_holds(demo: Path) -> None:
    script = SHARED / "check_contract.py"
    if not script.exists():
        pytest.skip("../shared/check_contract.py is not here")
    said = subprocess.run(
        [sys.executable, str(script), str(demo)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("method", ["concat-linear", "mirror"])
def test_planted_subtype_is_found(demo: Path, method: str) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    majority = value(results, "majority", "accuracy")
    found = value(results, method, "accuracy")
    assert found["ci_low"] > majority["ci_high"]


def test_planted_risk_is_found(demo: Path) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    assert value(results, "cox", "c_index")["mean"] > 0.55


def test_each_modality_adds(demo: Path) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    both = value(results, "concat-linear", "f1_macro")["mean"]
    assert both > value(results, "linear", "f1_macro")["mean"]
    assert both > value(results, "rna-linear", "f1_macro")["mean"] - 0.02


# what models saw on slides


def test_every_explained_patient_has_pictures_values_and_tiles(demo: Path) -> None:
    for method in ("abmil", "mirror"):
        folder = demo / "explained/honest/demo/resnet50-random" / method
        record = json.loads((folder / "figures.json").read_text())
        assert not record["left_out"]
        drawn = {one["name"] for one in record["figures"]}
        tasks = ("subtyping_1", "survival_1")
        assert drawn == {f"{task}_{name}" for task in tasks for name in ("map", "patches", "deletion")}
        for task in tasks:
            values = pd.read_parquet(folder / f"{task}.parquet")
            tiles = [json.loads(gzip.decompress(path.read_bytes())) for path in folder.glob(f"{task}_*.geojson.gz")]
            assert sum(len(one["features"]) for one in tiles) == len(values) > 10
    page = (demo / "report.html").read_text()
    assert "What the models saw on slides" in page
    assert page.count("weight lies, not why") >= 4
    assert page.count("Learned without labels") >= 4


def test_genes_and_vectors_have_pictures_and_tables(demo: Path) -> None:
    genes, maps = (
        demo / name for name in ("attributions/honest/demo/resnet50-random/mirror", "maps/honest/demo/resnet50-random")
    )
    drawn = [json.loads((folder / "figures.json").read_text()) for folder in (genes, maps)]
    assert [sorted(one["name"] for one in record["figures"]) for record in drawn] == [
        ["subtyping_census", "survival_census"],
        ["map_fold0"],
    ]
    assert not any(record["left_out"] for record in drawn)
    for task in ("subtyping", "survival"):
        patients = pd.read_csv(genes / f"{task}_patients.csv")
        assert (patients["error"] < 0.001).all()  # MIRROR's RNA encoder is smooth: 50 steps are plenty
    gap = pd.read_csv(demo / "tables/modality_gap.csv")
    assert set(gap["space"]) == {"vectors", "aligned"}
    page = (demo / "report.html").read_text()
    assert "neither baseline, target, patients nor fold" in page
    assert "nothing is measured on it" in page


def test_every_patient_has_a_line_with_a_picture(demo: Path) -> None:
    sheet = pd.read_csv(demo / "figures/demo/patients.csv")
    mine = sheet[(sheet["protocol"] == "honest") & (sheet["method"] == "mirror")]
    assert not mine["patient"].duplicated().any()
    assert set(mine["risk_group"].dropna()) == {"high", "low"}
    assert mine["thumbnail"].str.endswith(".jpg").all()


def planted_plans() -> tuple[dict[str, SlidePlan], dict]:
    """How the demo's slides were drawn, by name, and the settings of its simulation."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    settings = complete_settings(config["simulate"]["demo"])
    return {plan.slide_id: plan for plan in plan_slides(draw_patients(settings), settings)}, settings


def shares_of(plan: SlidePlan, settings: dict, features: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of each patch that is tissue, and that is nests of cells: what the patient's factors change."""
    patches, scale = read_patches(features), plan.objective / 20
    size = settings["slide_width_um"], settings["slide_height_um"]
    masks = planted_in(plan, *size, settings["seed"])

    def share(mask: np.ndarray, x: int, y: int) -> float:
        side = patches.size_level0
        return float(mask[int(y / scale) : int((y + side) / scale), int(x / scale) : int((x + side) / scale)].mean())

    tissue, nests = (np.array([share(mask, x, y) for x, y in patches.coords]) for mask in masks)
    return tissue, nests


def auroc(values: np.ndarray, planted: np.ndarray) -> float:
    """Chance that a planted patch has the larger value; NaN where all or none are planted."""
    if planted.all() or not planted.any():
        return float("nan")
    more = values[planted][:, None] - values[~planted][None]
    return float(((more > 0) + 0.5 * (more == 0)).mean())


def explained_patients(demo: Path) -> Iterator[tuple[NetworkOnUnit, list[str], list[str]]]:
    """ABMIL's subtype models of two folds, each on its evaluation patients; their slides and feature files."""
    manifest = read_manifest(demo / "predictions/honest/demo/resnet50-random/abmil/manifest.json")
    index = pd.read_csv(demo / "features/demo/resnet50-random.tsv", sep="\t").set_index("slide_id")["path"]
    units = to_units(read_cohort(demo / "cohort/demo.parquet")[0], "patient").set_index("unit", drop=False)
    for folder in sorted(manifest.models):
        if "/subtyping/" not in folder or Path(folder).name not in ("fold0", "fold1"):
            continue
        saved = load_trained(ROOT / folder)
        rows = pd.read_parquet(manifest.path.parent / f"subtyping/{Path(folder).name}.parquet")
        for patient in rows.loc[rows["setting"] == "all", "patient"]:
            unit = units.loc[[patient]]
            slides = list(unit["slide_ids"].iloc[0])
            files = [str(ROOT / index[slide]) for slide in slides]
            raw = saved.prepare(RawUnits(unit, FeatureBags([list(map(Path, files))], 0, [patient])))
            yield NetworkOnUnit(saved, raw.bags[0], raw.genes[0]), slides, files


def test_removal_points_at_the_planted_nests(demo: Path, record_property) -> None:
    """The effect of removing a patch on gamma against beta, which the shared factor drives apart, as nests are planted.

    AUROC a slide against patches with more nests than the slide's median; and, among patches that are mostly tissue,
    against those whose tissue is more densely nested. Attention's are reported only.
    """
    plans, settings = planted_plans()
    found: dict[str, list[float]] = {name: [] for name in ("effect", "attention", "dense_effect", "dense_attention")}
    for on_unit, slides, files in explained_patients(demo):
        classes = on_unit.saved.config["classes"]
        gamma, beta = classes.index("gamma"), classes.index("beta")

        def contrast(kept: np.ndarray, model=on_unit, more=gamma, less=beta) -> float:
            logits = model.logits(kept)[0]
            return float(logits[more] - logits[less])

        effect = effects(contrast, on_unit.patches, [np.array([one]) for one in range(on_unit.patches)])
        attention, start = on_unit.weights()[0].values, 0
        for slide, features in zip(slides, files, strict=True):
            tissue, nests = shares_of(plans[slide], settings, features)
            mine = slice(start, start + len(tissue))
            start += len(tissue)
            full = tissue > 0.5
            dense = nests[full] / tissue[full]
            for name, values in (("effect", effect[mine]), ("attention", attention[mine])):
                found[name].append(auroc(values, nests > np.median(nests)))
                found[f"dense_{name}"].append(auroc(values[full], dense > np.median(dense)))
    known = {name: np.array(values)[np.isfinite(values)] for name, values in found.items()}
    means = {name: float(values.mean()) for name, values in known.items()}
    errors = {name: float(values.std(ddof=1) / np.sqrt(len(values))) for name, values in known.items()}
    for name, values in known.items():
        print(f"{name}: AUROC {means[name]:.3f} +- {errors[name]:.3f} over {len(values)} slides")
        record_property(name, means[name])
    assert len(known["effect"]) >= 40
    assert means["effect"] - 2 * errors["effect"] > 0.8
    assert means["dense_effect"] - 2 * errors["dense_effect"] > 0.55
