"""The record inside a model against the folder it lies in."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from mirrorflow.audit.findings import LEAK
from mirrorflow.audit.fits import Fits
from mirrorflow.audit.places import ModelInputs, audit_place, labelled_models, manifest_digests
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import label_scope_of, resolved_protocol
from mirrorflow.plan.model_paths import LabelledModel, facts_of, model_of
from mirrorflow.plan.paths import ModelRecord
from mirrorflow.store.digest import canonical, digest, names_digest
from mirrorflow.store.method_predictions import Manifest
from mirrorflow.store.model_records import weights_metadata

GENES = ["G1", "G2"]
SCOPE = "patient-random-fold-train"


def made_with(seed: int, fold: int, **data: str) -> dict[str, Any]:
    units = {"units": f"u{fold}", "features": f"f{fold}", "expression": f"e{fold}", "genes": names_digest(GENES)}
    return {"seed": seed, "fold": fold, "version": 1, "data": units | data, "training": {"epochs": 4}}


def pretrained(root: Path, seed: int, fold: int, method: str = "mirror", prefix: str = "", **data: str) -> Path:
    """A finished model, and the embeddings that it made, as the rules leave them."""
    cohort = root / "results/r" / SCOPE / "c"
    folder = cohort / "models/e" / method / f"seed{seed}" / f"{prefix}fold{fold}"
    folder.mkdir(parents=True)
    record = made_with(seed, fold, **data)
    (folder / "config.json").write_text(json.dumps({"digest": digest(record), **record}))
    save_file({"network.w": np.ones(3, np.float32)}, folder / "model.safetensors", {"settings": canonical(record)})
    relative = folder.relative_to(root)
    (folder / "done.json").write_text(json.dumps({"model": str(relative / "model.safetensors")}))
    embeddings = cohort / "embeddings/e" / method / f"seed{seed}" / "frozen" / f"{prefix}fold{fold}.safetensors"
    embeddings.parent.mkdir(parents=True, exist_ok=True)
    settings = canonical({"model": digest(record), "seed": seed})
    noted = json.dumps({"units": ["A"], "settings": settings})
    save_file({"slide": np.ones(3, np.float32)}, embeddings, {"mirrorflow": noted})
    return folder


def said(folder: Path, genes: str = names_digest(GENES)) -> list[tuple[str, str, int | None]]:
    return [(one.level, one.kind, one.fold) for one in audit_place(folder, genes)]


def test_a_place_is_read_from_its_path():
    found = model_of(f"/data/results/r/{SCOPE}/c/models/e/mirror/seed42/few-shot-fold1")
    assert found == ModelRecord("/data/results/r", SCOPE, "c", "e", "mirror", 42, "few-shot-", 1)
    found = model_of(f"results/r/{SCOPE}-last-fold/c/models/e/abmil/subtyping/10-shot/seed1/fold0")
    assert found == LabelledModel(
        "results/r", f"{SCOPE}-last-fold", "c", "e", "abmil", "subtyping", "10-shot", seed=1, fold=0
    )
    assert {"seed": 1, "fold": 0, "task": "subtyping"}.items() <= facts_of(found).items()
    assert model_of("models/e/mirror") is None


def test_a_model_in_its_place_is_nothing_to_find(tmp_path):
    for fold in (0, 1):
        assert said(pretrained(tmp_path, 42, fold)) == []
    assert said(pretrained(tmp_path, 42, 0, prefix="few-shot-")) == []


@pytest.mark.parametrize("whole", [True, False])
def test_another_folds_weights_in_a_folds_place_are_a_leak(tmp_path, whole):
    here, there = pretrained(tmp_path, 42, 0), pretrained(tmp_path, 42, 1)
    for name in ("model.safetensors", "config.json", "done.json") if whole else ("model.safetensors",):
        shutil.copy(there / name, here / name)
    found = list(audit_place(here, names_digest(GENES)))
    assert (LEAK, "model_place", 0) in [(one.level, one.kind, one.fold) for one in found]
    (leak,) = [one for one in found if one.kind == "model_place"]
    assert "model.safetensors says fold 1" in leak.text
    assert "the model of e/mirror/seed42/fold0 is not the one that belongs there" in leak.text
    assert "delete the folder and run again" in leak.text
    # the embeddings were made with the model that was there before
    assert ("embeddings_place" in [one.kind for one in found]) is whole


def test_another_seeds_weights_are_a_leak(tmp_path):
    here, there = pretrained(tmp_path, 42, 0), pretrained(tmp_path, 43, 0)
    shutil.copy(there / "model.safetensors", here / "model.safetensors")
    assert said(here) == [(LEAK, "model_place", 0)]


def test_a_done_of_another_place_is_a_leak_where_fold_and_seed_agree(tmp_path):
    here, there = pretrained(tmp_path, 42, 0, "mirror"), pretrained(tmp_path, 42, 0, "mirror--alignment")
    for name in ("model.safetensors", "config.json", "done.json"):
        shutil.copy(there / name, here / name)
    assert said(here) == [(LEAK, "model_place", 0)]


def test_weights_without_a_record_and_other_genes_are_a_leak(tmp_path):
    folder = pretrained(tmp_path, 42, 0)
    assert said(folder, names_digest(["G1"])) == [(LEAK, "model_place", 0)]
    save_file({"network.w": np.ones(3, np.float32)}, folder / "model.safetensors")
    assert said(folder) == [(LEAK, "model_place", 0)]
    (folder / "model.safetensors").write_bytes(b"torn")
    assert weights_metadata(folder / "model.safetensors", "settings") is None
    assert said(folder) == [(LEAK, "model_place", 0)]


def test_another_folds_embeddings_are_a_leak(tmp_path):
    here, there = pretrained(tmp_path, 42, 0), pretrained(tmp_path, 42, 1)
    frozen = here.parents[4] / "embeddings/e/mirror/seed42/frozen"
    shutil.copy(frozen / "fold1.safetensors", frozen / "fold0.safetensors")
    (leak,) = audit_place(here)
    assert (leak.level, leak.kind, leak.fold) == (LEAK, "embeddings_place", 0)
    # of what Snakemake looks at: the files of the folds are beside it, and it makes those that do not belong anew
    assert leak.text.endswith(f"delete {frozen / 'done.json'} and run again")
    assert said(there) == []


def test_pretrained_models_of_the_same_patients_saw_the_same(tmp_path):
    def mixed(*folders: Path) -> list[tuple[str, str]]:
        inputs = ModelInputs()
        for folder in folders:
            inputs.read(folder)
        return [(one.level, one.kind) for one in inputs.findings()]

    one, two = pretrained(tmp_path, 42, 0), pretrained(tmp_path, 42, 0, "tangle")
    assert mixed(one, two, pretrained(tmp_path, 42, 1)) == []
    other = pretrained(tmp_path, 42, 0, "late", features="new")
    assert mixed(one, two, other) == [(LEAK, "mixed_features")]
    assert mixed(one, pretrained(tmp_path, 43, 0, expression="new")) == [(LEAK, "mixed_expression")]
    assert mixed(one, pretrained(tmp_path, 44, 0, expression="new", genes="others")) == []


def test_manifest_digests_know_whose_genes_they_are(tmp_path):
    genes = tmp_path / SCOPE / "c/genes"
    for name in ("fold0.tsv", "mirror--a/fold0.tsv"):
        (genes / name).parent.mkdir(parents=True, exist_ok=True)
        (genes / name).write_text("id\tgene\nG1\tG1\nG2\tG2\n")
    own = [str(genes / "mirror--a/fold0.tsv")]
    found = manifest_digests([str(genes / "fold0.tsv"), *own, str(genes / "absent.tsv")], own)
    assert found == dict.fromkeys([("", "fold0"), ("mirror--a", "fold0")], names_digest(GENES))


# Networks trained on labels.


HONEST = resolved_protocol("honest", {"splits": "random"})
PREDICTIONS = "results/r/predictions/honest/c/e/abmil"


def labelled(
    root: Path, fold: int, scope: str = label_scope_of(HONEST), said_otherwise: dict | None = None, setting: str = "all"
) -> Path:
    folder = root / "results/r" / scope / "c/models/e/abmil/subtyping" / setting / "seed42" / f"fold{fold}"
    folder.mkdir(parents=True)
    record = {
        "trained_on": names_digest(["A", "B"] if fold == 0 else ["C", "D"]), "fold": fold, "seed": 42, "scope": scope,
        "cohort": "c", "encoder": "e", "method": "abmil", "task": "subtyping", "setting": setting,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(record | (said_otherwise or {})))
    return folder


def test_networks_trained_on_labels_are_those_that_the_manifest_names(tmp_path):
    mine = [labelled(tmp_path, fold) for fold in (0, 1)]
    labelled(tmp_path, 0, label_scope_of(HONEST | {"epoch": "nested"}))
    labelled(tmp_path, 2)
    manifest = Manifest(tmp_path / PREDICTIONS / "manifest.json", {}, {}, models={str(one): "d" for one in mine})
    assert labelled_models(manifest, HONEST) == mine
    shutil.rmtree(mine[1])
    assert labelled_models(manifest, HONEST) == mine[:1]
    assert labelled_models(replace(manifest, path=Path("manifest.json")), HONEST) == []


def test_an_old_manifest_stands_for_what_its_protocol_keeps(tmp_path):
    mine = [labelled(tmp_path, fold) for fold in (0, 1)]
    shots = label_scope_of(HONEST, few_shot=True)
    mine = sorted([*mine, labelled(tmp_path, 0, shots, setting="3-shot")])
    labelled(tmp_path, 0, label_scope_of(HONEST | {"few_shot_replacement": True}, few_shot=True), setting="3-shot")
    for other in ({"epoch": "nested"}, {"pretraining_epoch": "best_on_evaluation"}, {"unit": "slide"}):
        labelled(tmp_path, 0, label_scope_of(HONEST | other))
    manifest = Manifest(tmp_path / PREDICTIONS / "manifest.json", {}, {})
    assert labelled_models(manifest, HONEST) == mine


@pytest.mark.parametrize(
    ("key", "value"),
    [("fold", 1), ("seed", 1), ("scope", "s"), ("cohort", "d"), ("encoder", "f"), ("method", "m"), ("task", "survival"),
     ("setting", "3-shot")],
)  # fmt: skip
def test_a_network_of_another_place_is_a_leak(tmp_path, key, value):
    assert said(labelled(tmp_path, 0)) == []
    (found,) = audit_place(labelled(tmp_path / "other", 0, said_otherwise={key: value}))
    assert (found.level, found.kind) == (LEAK, "model_place")
    assert f"config.json says {key} {value}" in found.text


def test_whom_kept_weights_were_fitted_on_is_held_against_the_fold(tmp_path):
    units = pd.DataFrame({"unit": list("ABCD"), "patient": list("ABCD"), "label": list("xyxy")})
    folds = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]

    def fits(folder: Path) -> list[tuple[str, str, int | None]]:
        found = Fits(units, pd.DataFrame())
        found.read_model("abmil (e)", folder, folds)
        return [(one.level, one.kind, one.fold) for one in found.findings]

    assert fits(labelled(tmp_path, 0)) == []
    everyone = labelled(tmp_path / "all", 1, said_otherwise={"trained_on": names_digest(list("ABCD"))})
    assert fits(everyone) == [(LEAK, "training", 1)]
    found = Fits(units, pd.DataFrame())
    found.read_model("abmil (e)", everyone, folds)
    assert str(everyone) in found.findings[0].text
