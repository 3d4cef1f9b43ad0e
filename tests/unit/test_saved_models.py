"""Every trained method leaves its weights: what is kept, shared, redone; a reloaded model gives its predictions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labelled_cohort import Store
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold, evaluation_units
from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.config.protocols import PROTOCOL_PRESETS, label_scope_of, scope_of
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.learners.inputs.site import SiteCodes
from mirrorflow.learners.inputs.vectors import FoldVectors, NoInputs, PooledInputs, Recipe
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.saved import RawUnits, load_trained
from mirrorflow.learners.tasks import ALL_DATA, ModelPlace, Plan
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.digest import names_digest, patients_digest
from mirrorflow.store.expression import ExpressionWriter, read_expression, write_sidecar
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_fold

HONEST = PROTOCOL_PRESETS["honest"] | {"splits": "random"}
SCOPE = "patient-random-fold-train-last-fold-frozen"
PROBE = {
    "epochs": 5, "batch_size": 8, "learning_rate": 0.02, "survival_learning_rate": 0.02, "label_smoothing": 0.1,
    "weight_decay": 0.0, "standardize": True, "survival_bins": 4,
}  # fmt: skip
HEAD = {"family": "mirror", "probe": PROBE}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def plan_of(store: Store, family: str, *, keep: str = "all-data", **changes: Any) -> Plan:
    place = ModelPlace(str(store.folder / "results"), "brca", "uni", family, keep)
    changes = {"method": HEAD, **changes} if family == "mirror" else changes
    plan = store.plan("majority" if family == "mirror" else family, saved=place, **changes)
    if family == "cox":
        plan = replace(plan, method={**plan.method, "components": 4, "alpha": 1.0}, tasks=["survival"])
    return plan


@dataclass
class Draws:
    """Vectors of two draws, as the published probe draws them anew in each epoch."""

    seed: int = 0

    def digest(self, fold_number: int) -> str:
        return f"draws-{self.seed}-{fold_number}"

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        sides = [np.stack([self.of(name) for name in part["patient"]], axis=1) for part in (train, evaluation)]
        return FoldVectors(*sides, recipe=Recipe({"kind": "embedded"}))

    def of(self, name: str) -> np.ndarray:
        rng = np.random.default_rng(int(name[1:]) + self.seed)
        return rng.normal(size=(2, 6)).astype(np.float32) + np.eye(6, dtype=np.float32)[int(name[1:]) % 3] * 3


def pooled(store: Store, inputs: list[str], **changes: Any) -> PooledInputs:
    bags = store.inputs()
    settings = {"rna_scaling": "train", "clip": 1.0} | changes
    return PooledInputs(
        bags.units, inputs, "mean_std", bags.index, bags.expression, bags.genes, settings["rna_scaling"],
        settings["clip"],
    )  # fmt: skip


def representation(store: Store, family: str) -> Any:
    if family == "mirror":
        return Draws()
    if family == "majority":
        return NoInputs()
    if family == "clinical":
        return ClinicalColumns(store.inputs().units, ["age", "site"])
    if family == "site":
        return SiteCodes(store.inputs().units)
    if family in ("linear", "cox"):
        return pooled(store, ["slides", "rna"] if family == "linear" else ["rna"])
    return store.inputs(inputs=METHODS[family].inputs)


def raw_units(store: Store, units: pd.DataFrame, genes: list[str]) -> RawUnits:
    """What lies on the disk of some units: nothing scaled, nothing fitted."""
    files = [[store.folder / f"{slide}.h5" for slide in slides] for slides in units["slide_ids"]]
    values = read_expression(str(store.folder / "rna.parquet"), patients=sorted(set(units["patient"])), genes=genes)
    row = {name: number for number, name in enumerate(values.patients)}
    expression = np.asarray(values.values, np.float32)[[row[name] for name in units["patient"]]]
    return RawUnits(units, FeatureBags(files, 0), expression)


def models(store: Store) -> dict[str, Path]:
    """Folders of all models, by their path within the results."""
    found = (path.parent for path in (store.folder / "results").rglob("model.safetensors"))
    return {path.relative_to(store.folder / "results").as_posix(): path for path in sorted(found)}


def assert_same(prediction: Any, rows: pd.DataFrame) -> None:
    """The stored rows, to the last digit."""
    if "risk" in rows:
        np.testing.assert_array_equal(prediction.risk, rows["risk"])
        np.testing.assert_array_equal(prediction.survival, rows.filter(like="surv_"))
    else:
        np.testing.assert_array_equal(prediction.probabilities, rows.filter(like="prob_"))


def takes_pathways(family: str) -> bool:
    return family in METHODS and "gene_sets" in METHODS[family].settings


FAMILIES = ["majority", "clinical", "site", "linear", "cox", "mirror", *NETWORKS]


# A reloaded model gives its stored predictions.


@pytest.mark.parametrize(
    ("family", "epoch"),
    [(family, "best_on_evaluation") for family in FAMILIES] + [(family, "last") for family in ("mirror", "abmil")],
)
def test_a_model_from_its_file_gives_its_stored_predictions_from_raw_data(store, family, epoch):
    plan = plan_of(store, family, shots=[], protocol=HONEST | {"epoch": epoch, "rna_scaling": "train"})
    if takes_pathways(family):
        plan = replace(plan, method=plan.method | {"gene_sets": str(store.folder / "sets.csv")})
    inputs = representation(store, family)
    if takes_pathways(family):
        inputs = replace(inputs, gene_sets=str(store.folder / "sets.csv"))
    folder = store.predict(plan, inputs)
    found = models(store)
    assert len(found) == 2 * len(plan.tasks)
    for path in found.values():
        saved = load_trained(path)
        config = json.loads((path / "config.json").read_text())
        rows = read_predictions(folder / config["task"] / f"fold{config['fold']}.parquet").rows
        units = evaluation_units(inputs_units(store), read_fold(plan.splits[config["fold"]]), config["task"])
        if family == "mirror":
            raw = RawUnits(units, vectors=np.stack([inputs.of(name) for name in units["patient"]], axis=1))
        else:
            raw = raw_units(store, units, saved.genes)
        assert_same(saved.predict(saved.prepare(raw)), rows)


def test_a_model_that_looked_at_a_part_of_each_bag_does_so_again(store):
    plan = plan_of(store, "abmil", shots=[], tasks=["survival"])
    whole = read_predictions(store.predict(plan, representation(store, "abmil")) / "survival/fold0.parquet").rows
    capped = replace(plan, method=plan.method | {"train": plan.method["train"] | {"evaluation_tokens": 2}})
    rows = read_predictions(store.predict(capped, representation(store, "abmil")) / "survival/fold0.parquet").rows
    assert (rows["risk"] != whole["risk"]).any()
    (path,) = (path for path in models(store).values() if path.name == "fold0")
    saved = load_trained(path)
    units = evaluation_units(inputs_units(store), read_fold(plan.splits[0]), "survival")
    assert_same(saved.predict(saved.prepare(raw_units(store, units, saved.genes))), rows)


def inputs_units(store: Store) -> pd.DataFrame:
    return to_units(store.frame, "patient")


def test_the_weights_are_those_of_the_reported_epoch(store):
    best = plan_of(store, "abmil", shots=[], tasks=["subtyping"], protocol=HONEST | {"epoch": "best_on_evaluation"})
    best = replace(best, method={**best.method, "train": {**best.method["train"], "epochs": 6, "learning_rate": 0.3}})
    store.predict(best, representation(store, "abmil"))
    epochs = [json.loads((path / "config.json").read_text())["epoch"] for path in models(store).values()]
    assert min(epochs) < 6  # else this shows nothing; the test above compares the predictions
    history = pd.read_csv(next(iter(models(store).values())) / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["total"].notna().all()


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("scaling", ["train", "none"])
def test_missing_expression_is_filled_as_in_the_training(store, scaling, clip):
    path = store.folder / "rna.parquet"
    frame = pd.read_parquet(path)
    values = frame[store.frame["patient"].tolist()].to_numpy(np.float32).copy()
    values[0, 3:7] = np.nan
    with ExpressionWriter(path, store.frame["patient"].tolist()) as writer:
        writer.add(frame["id"].tolist(), frame["gene"].tolist(), values)
        writer.finish({}, {})
    write_sidecar(path)
    plan = plan_of(store, "linear", shots=[], tasks=["survival"], protocol=HONEST | {"rna_scaling": scaling})
    folder = store.predict(plan, pooled(store, ["rna"], rna_scaling=scaling, clip=clip))
    for path in models(store).values():
        saved = load_trained(path)
        assert any("rna_scaler" in name for name in saved.arrays) == (scaling == "train")
        units = evaluation_units(inputs_units(store), read_fold(plan.splits[saved.config["fold"]]), "survival")
        prediction = saved.predict(saved.prepare(raw_units(store, units, saved.genes)))
        assert_same(prediction, read_predictions(folder / "survival" / f"fold{saved.config['fold']}.parquet").rows)


# Where the files lie and what they say.


def test_a_model_says_what_it_is_and_whom_it_was_trained_on(store):
    plan = plan_of(store, "survpath", shots=[], tasks=["survival"])
    store.predict(plan, replace(store.inputs(), gene_sets="random"))
    assert list(models(store)) == [
        f"{SCOPE}/brca/models/uni/survpath/survival/all/seed42/fold{fold}" for fold in range(2)
    ]
    for fold, path in enumerate(models(store).values()):
        assert sorted(file.name for file in path.iterdir()) == ["config.json", "history.csv", "model.safetensors"]
        config = json.loads((path / "config.json").read_text())
        patients = read_fold(plan.splits[fold]).train
        wanted = {
            "scope": SCOPE, "model_scope": "patient-random-fold-train", "cohort": "brca", "encoder": "uni",
            "method": "survpath", "family": "survpath", "task": "survival", "setting": "all", "seed": 42, "fold": fold,
            "kind": "network", "epoch": 2, "trained_on_patients": patients_digest(patients),
        }  # fmt: skip
        assert config.items() >= wanted.items()
        assert config["trained_on"] == names_digest(config_order(store, patients))
        assert config["inputs"]["genes"] == ["t3", "t0", "t1"]
        assert config["fitted_on"] == dict.fromkeys(["RNA scaler", "patch scaler"], patients_digest(patients))
        assert config["settings"] == json.loads(json.dumps(dict(plan.method)))
        assert len(config["bin_edges_days"]) == len(config["bin_ends_days"]) == 4
        names = load_trained(path).arrays
        assert {"network.patch_mean", "inputs.rna_scaler.mean", "inputs.patch_scaler.deviation"} <= set(names)


def config_order(store: Store, patients: Any) -> list[str]:
    return [name for name in store.frame["patient"] if name in set(patients)]


def test_subtyping_models_name_their_classes_and_classical_ones_have_no_history(store):
    store.predict(plan_of(store, "linear", shots=[], tasks=["subtyping"]), pooled(store, ["slides"]))
    for path in models(store).values():
        assert json.loads((path / "config.json").read_text())["classes"] == ["a", "b", "c"]
        assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("keep", ["all-data", "all"])
def test_models_of_k_shot_settings_are_kept_on_request(store, keep):
    store.predict(plan_of(store, "linear", keep=keep, tasks=["subtyping"]), pooled(store, ["slides"]))
    settings = {path.split("/")[0]: path.split("/")[-3] for path in models(store)}
    few_shot = {f"{SCOPE}-once-none": "3-shot"} if keep == "all" else {}
    assert settings == {SCOPE: ALL_DATA, **few_shot}


def test_inner_folds_leave_no_models(store):
    plan = plan_of(store, "abmil", shots=[], tasks=["subtyping"], protocol=HONEST | {"epoch": "nested"})
    plan = replace(plan, inner_splits=[plan.splits])
    inputs = representation(store, "abmil")
    predict_method(plan, inputs, str(store.folder / "p"), str(store.folder / "p/manifest.json"), "x", inner=[inputs])
    scope = SCOPE.replace("-last-", "-nested-")
    assert [path.removeprefix(scope) for path in models(store)] == [
        f"/brca/models/uni/abmil/subtyping/all/seed42/fold{fold}" for fold in range(2)
    ]


def test_protocols_that_differ_in_nothing_that_moves_a_model_share_it():
    paper = PROTOCOL_PRESETS["paper"]
    assert label_scope_of(HONEST) == SCOPE == label_scope_of(HONEST | {"evaluate_all": False})
    assert label_scope_of(HONEST) == label_scope_of(HONEST | {"few_shot_genes": "all", "few_shot_replacement": True})
    assert label_scope_of(HONEST, few_shot=True) != label_scope_of(HONEST | {"few_shot_genes": "all"}, few_shot=True)
    best = HONEST | {"epoch": "best_on_evaluation"}
    assert label_scope_of(best) != label_scope_of(best | {"evaluate_all": False})
    assert label_scope_of(paper) == f"{scope_of(paper)}-best_on_evaluation-cohort-resampled_dropout-lost"
    for key, value in {"epoch": "nested", "survival_bins": "cohort", "probe_features": "resampled_dropout"}.items():
        assert label_scope_of(HONEST | {key: value}) != SCOPE


# What is kept, redone and removed.


def ages(store: Store) -> Mapping[str, int]:
    return {name: (path / "model.safetensors").stat().st_mtime_ns for name, path in models(store).items()}


def test_a_finished_model_is_kept_and_a_missing_one_has_its_fold_done_again(store):
    plan = plan_of(store, "linear", shots=[], tasks=["subtyping"])
    folder = store.predict(plan, pooled(store, ["slides"]))
    manifest = json.loads((folder / "manifest.json").read_text())
    first, second = models(store).values()
    assert sorted(manifest["models"]) == [str(first), str(second)]
    assert list(manifest["models"].values()) == [
        json.loads((path / "config.json").read_text())["digest"] for path in (first, second)
    ]
    before = ages(store)
    store.predict(plan, pooled(store, ["slides"]))
    assert ages(store) == before
    rows = read_predictions(folder / "subtyping" / "fold1.parquet").rows
    for broken in ("model.safetensors", "config.json"):
        (second / broken).unlink()
        store.predict(plan, pooled(store, ["slides"]))
        now = ages(store)
        assert [now[name] == before[name] for name in before] == [True, False]
    pd.testing.assert_frame_equal(read_predictions(folder / "subtyping" / "fold1.parquet").rows, rows)
    (second / "model.safetensors").write_bytes(b"cut short")
    store.predict(plan, pooled(store, ["slides"]))
    load_trained(second)


def test_a_setting_in_another_form_trains_nothing_again(store):
    plan = plan_of(store, "linear", shots=[], tasks=["subtyping"])
    folder = store.predict(replace(plan, method=plan.method | {"C": 3}), pooled(store, ["slides"]))
    before, listed = ages(store), json.loads((folder / "manifest.json").read_text())["models"]
    store.predict(replace(plan, method=plan.method | {"C": 3.0}), pooled(store, ["slides"]))
    assert ages(store) == before
    assert json.loads((folder / "manifest.json").read_text())["models"] == listed


@pytest.mark.parametrize("family", ["linear", "mirror", "abmil"])
def test_what_an_interrupted_job_or_another_protocol_trained_is_not_trained_again(store, family, monkeypatch):
    plan = plan_of(store, family, shots=[], protocol=HONEST | {"epoch": "best_on_evaluation"})
    folder = store.predict(plan, representation(store, family))
    stored = {path.relative_to(folder): read_predictions(path) for path in sorted(folder.glob("*/*.parquet"))}
    for name in stored:
        (folder / name).unlink()
    monkeypatch.setattr("mirrorflow.learners.predict.predictor_of", lambda method: pytest.fail("trained again"))
    other = replace(plan, protocol=plan.protocol | {"claims_honest": False})
    for changed, name in ((plan, "predictions"), (other, "others")):
        again = store.predict(changed, representation(store, family), name)
        for path, before in stored.items():
            now = read_predictions(again / path)
            pd.testing.assert_frame_equal(now.rows, before.rows, check_exact=True)
            assert now.notes["settings"] == before.notes["settings"]


def test_the_nested_choice_of_a_kept_model_stays_in_the_notes(store):
    plan = plan_of(store, "abmil", shots=[], tasks=["subtyping"], protocol=HONEST | {"epoch": "nested"})
    plan = replace(plan, inner_splits=[plan.splits])
    inputs, folder = representation(store, "abmil"), store.folder / "p"
    path = folder / "subtyping/fold0.parquet"
    predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "x", inner=[inputs])
    before = read_predictions(path).notes["settings"]
    path.unlink()
    predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "x", inner=[inputs])
    assert before == read_predictions(path).notes["settings"]
    assert before[0]["epoch_choice"]["inner_folds"] == [0]


def test_another_setting_makes_the_model_again_and_evaluation_units_do_not(store):
    plan = plan_of(store, "linear", shots=[], tasks=["subtyping"])
    store.predict(plan, pooled(store, ["slides"]))
    digests = [json.loads((path / "config.json").read_text())["digest"] for path in models(store).values()]
    fewer = replace(plan, protocol=plan.protocol | {"evaluate_all": False, "preset": "x"})
    store.predict(fewer, pooled(store, ["slides"]), "others")
    again = [json.loads((path / "config.json").read_text())["digest"] for path in models(store).values()]
    assert digests == again
    store.predict(replace(plan, method=plan.method | {"C": 3.0}), pooled(store, ["slides"]))
    changed = [json.loads((path / "config.json").read_text())["digest"] for path in models(store).values()]
    assert not set(changed) & set(digests)


def test_models_that_the_run_no_longer_has_are_removed_and_those_of_others_are_not(store):
    plan = plan_of(store, "linear", keep="all")
    store.predict(plan, pooled(store, ["slides"]))
    pretrained = store.folder / "results/patient-random-fold-train/brca/models/uni/linear/seed1/fold0"
    pretrained.mkdir(parents=True)
    (pretrained / "config.json").write_text("{}")
    leftover = next(iter(models(store).values())) / f".tmp-999999999@{__import__('socket').gethostname()}@config.json"
    leftover.write_text("{")
    assert len(models(store)) == 8
    without_shots = replace(plan, shots=[], tasks=["subtyping"])
    store.predict(without_shots, pooled(store, ["slides"]), "others")
    assert {path.split("/")[-3] for path in models(store)} == {"all", "3-shot"}
    assert {path.split("/")[-4] for path in models(store) if "/all/" in path} == {"subtyping"}
    fewer = replace(plan, saved=replace(plan.saved, keep="all-data"))
    store.predict(fewer, pooled(store, ["slides"]))
    assert {path.split("/")[-3] for path in models(store)} == {"all"}
    assert not leftover.exists()
    assert (pretrained / "config.json").exists()
    assert not (store.folder / f"results/{SCOPE}-once-none/brca/models/uni/linear/survival").exists()


# Bad input.


@dataclass
class Silent(Draws):
    """Inputs that fit something and do not say on which patients."""

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        made = super().vectors(fold, fold_number, seed, train, evaluation)
        recipe = Recipe({"kind": "embedded"}, {"prototypes": {"centres": np.zeros((2, 3))}})
        return FoldVectors(made.train, made.evaluation, recipe=recipe)


def test_inputs_that_fit_something_without_saying_on_whom_stop_the_job(store):
    message = (
        r"linear, subtyping, fold 0: prototypes fitted without saying on which patients; "
        r"put the digest .* into `fitted`"
    )
    with pytest.raises(MirrorflowError, match=message):
        store.predict(plan_of(store, "linear", shots=[]), Silent())


def test_what_is_no_model_is_refused_by_name(store):
    with pytest.raises(InputError, match=r"nowhere/model\.safetensors: no finished model there"):
        load_trained(store.folder / "nowhere")
    store.predict(plan_of(store, "linear", shots=[], tasks=["subtyping"]), pooled(store, ["rna"]))
    path = next(iter(models(store).values()))
    saved = load_trained(path)
    units = inputs_units(store)
    raw = raw_units(store, units, saved.genes)
    with pytest.raises(InputError, match="linear needs expression of the units"):
        saved.prepare(RawUnits(units))
    with pytest.raises(InputError, match="2 genes, but the model sees 3"):
        saved.prepare(replace(raw, expression=raw.expression[:, :2]))
    (path / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"no finished model there; .*delete the file if it is damaged"):
        load_trained(path)


def test_a_head_names_the_pretrained_model_it_stands_on(store):
    store.predict(plan_of(store, "mirror", shots=[], tasks=["subtyping"]), Draws())
    with pytest.raises(InputError, match="does not say where its pretrained model lies"):
        load_trained(next(iter(models(store).values()))).source()
