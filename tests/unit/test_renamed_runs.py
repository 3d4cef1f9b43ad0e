"""A run that was renamed or copied keeps its models: what records name is looked for beside them."""

import json
import shutil
from pathlib import Path

from finished_run import finished_run
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.learners.saved import load_trained
from mirrorflow.reuse.run_folder import open_run
from mirrorflow.store.method_predictions import read_manifest


def test_a_manifest_names_models_of_the_run_that_it_lies_in(tmp_path: Path) -> None:
    run, _ = finished_run(tmp_path / "old", ("majority",))
    shutil.move(run.folder, tmp_path / "renamed")
    manifest = tmp_path / "renamed/predictions/honest/brca/none/majority/manifest.json"
    assert all(str(run.folder) in folder for folder in json.loads(manifest.read_text())["models"])
    found = read_manifest(manifest).models
    assert len(found) == 4
    for folder, digest in found.items():
        assert Path(folder).is_relative_to(tmp_path / "renamed")
        assert load_trained(Path(folder)).config["digest"] == digest
    assert open_run(tmp_path / "renamed").models(next(iter(open_run(tmp_path / "renamed").manifests)), "survival")


def test_a_manifest_of_no_run_is_read_as_it_is(tmp_path: Path) -> None:
    content = {"written": {}, "skipped": {}, "models": {"a/b/c": "digest"}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path / "manifest.json").models == {"a/b/c": "digest"}


def test_embeddings_and_models_are_looked_for_beside_their_record(tmp_path: Path) -> None:
    scope = "scope/brca"
    embeddings = f"{scope}/embeddings/uni/mirror/seed42/frozen"
    model = f"{scope}/models/uni/mirror/seed42/fold0"
    record = tmp_path / "new" / embeddings / "done.json"
    record.parent.mkdir(parents=True)
    content = {"embeddings": [f"results/old/{embeddings}/fold0.safetensors"], "models": [f"results/old/{model}"]}
    record.write_text(json.dumps(content))
    found = Embedded.of_records([str(record)], resampled=False)
    assert found.files == {(42, 0): f"{tmp_path}/new/{embeddings}/fold0.safetensors"}
    assert found.models == {(42, 0): f"{tmp_path}/new/{model}"}
