"""Attacks on a finished run: what somebody changed by hand is a leak, and no table shows a number made of it."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.slide_sheet import SlideRow
from mirrorflow.store.tables import read_cohort, read_fold, read_text_sheet
from runner import CONFIGS, changed_config, copy_run, run

pytestmark = pytest.mark.workflow

RESULTS = Path("results/tiny")
SCOPE = RESULTS / "patient-site_preserved-fold-train/tiny"
PROTOCOLS = ("honest", "paper")
INDEX = RESULTS / "features/tiny/resnet50-random.tsv"


def judged(folder: Path) -> str:
    """Audit the run again, and make the table of results; what was said of the failing claim."""
    targets = [str(RESULTS / "tables/results.csv"), *(str(RESULTS / f"audit/{name}/tiny.passed") for name in PROTOCOLS)]
    rules = ["audit", "require_honesty", "evaluate", "make_results"]
    done = run(
        folder, CONFIGS / "tiny.yaml", *targets, "--forcerun", "audit", "--keep-going", "--allowed-rules", *rules
    )
    assert done.returncode != 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def findings(folder: Path, protocol: str) -> dict[str, dict]:
    """Kind -> the first finding of that kind."""
    record = json.loads((folder / RESULTS / f"audit/{protocol}/tiny.json").read_text())
    return {one["kind"]: one for one in reversed(record["findings"])}


def shown(folder: Path) -> set[str]:
    return set(read_text_sheet(folder / RESULTS / "tables/results.csv")["protocol"])


def test_edited_labels_are_a_leak_whatever_the_protocol_claims(tiny: Path, tmp_path: Path) -> None:
    folder = copy_run(tiny, tmp_path / "run")
    name = RESULTS / "predictions/paper/tiny/none/rna-linear/subtyping/fold0.parquet"
    table = pq.read_table(folder / name)
    rows = table.to_pandas()
    classes = [column.removeprefix("prob_") for column in rows if column.startswith("prob_")]
    chosen = rows[[f"prob_{one}" for one in classes]].to_numpy().argmax(1)
    rows["label"] = np.array(classes)[chosen]  # the method is right in every case
    edited = type(table).from_pandas(rows, preserve_index=False).replace_schema_metadata(table.schema.metadata)
    pq.write_table(edited, folder / name)
    said = judged(folder)
    found = findings(folder, "paper")
    assert found["edited_predictions"]["level"] == found["other_targets"]["level"] == "leak"
    assert found["edited_predictions"]["examples"] == ["none/rna-linear/subtyping/fold0.parquet"]
    assert "none/rna-linear/subtyping/fold0.parquet" in said
    assert "delete this file and the method's manifest.json and run again" in said
    assert shown(folder) == {"honest"}
    assert "edited_predictions" not in findings(folder, "honest")


def test_swapped_weights_and_a_slide_under_two_names_break_the_claim(tiny: Path, tmp_path: Path) -> None:
    folder = copy_run(tiny, tmp_path / "run")
    models = folder / SCOPE / "models/resnet50-random/mirror/seed42"
    kept = (models / "fold0/model.safetensors").stat()
    shutil.copy(models / "fold1/model.safetensors", models / "fold0/model.safetensors")
    os.utime(models / "fold0/model.safetensors", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    one, other = two_slides(folder)
    said = judged(folder)
    found = findings(folder, "honest")
    assert found["model_place"]["level"] == found["same_features"]["level"] == "leak"
    assert found["model_place"]["examples"] == ["resnet50-random/mirror/seed42/fold0"]
    assert "model.safetensors says fold 1" in said
    assert found["same_features"]["count"] == 2
    assert one in found["same_features"]["examples"][0]
    assert other in found["same_features"]["examples"][0]
    assert "honest on tiny claims to be honest" in said
    assert shown(folder) == {"paper"}  # which claims nothing; the slides are in its audit, too
    assert "same_features" in findings(folder, "paper")


def two_slides(folder: Path) -> tuple[str, str]:
    """The first slide's features under the name of another patient's, indexed as the rule does."""
    index = read_text_sheet(folder / INDEX)
    used = index[index["patient"].isin(read_cohort(folder / RESULTS / "cohort/tiny.parquet")[0]["patient"])]
    one, other = used.iloc[0], used[used["patient"] != used["patient"].iloc[0]].iloc[0]
    shutil.copy(folder / one["path"], folder / other["path"])
    kept = (folder / INDEX).stat()
    rows = [SlideRow(slide, patient) for slide, patient in zip(index["slide_id"], index["patient"], strict=True)]
    here = Path.cwd()
    os.chdir(folder)
    try:
        index_features(rows, Path(one["path"]).parent, INDEX)
    finally:
        os.chdir(here)
    os.utime(folder / INDEX, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # what was made of it is not made again
    return one["slide_id"], other["slide_id"]


def test_a_gene_list_of_the_users_is_of_unknown_origin_and_a_leak_by_its_record(tiny: Path, tmp_path: Path) -> None:
    folder = copy_run(tiny, tmp_path / "run")
    shutil.copy(folder / "store/simulated/tiny/census.tsv", folder / "mine.tsv")
    config = changed_config(folder, CONFIGS / "tiny.yaml", **{"cohorts.tiny.census": "mine.tsv"})
    audit = str(RESULTS / "audit/honest/tiny.json")
    command = (audit, "--forcerun", "audit", "--allowed-rules", "audit")
    assert run(folder, config, *command).returncode == 0
    found = findings(folder, "honest")
    assert found["gene_list_origin"]["level"] == "warning"
    assert "gene list mine.tsv" in (folder / RESULTS / "audit/honest/tiny.md").read_text()
    fold: Fold = read_fold(folder / SCOPE / "splits/splits_0.csv")
    (folder / "mine.tsv.json").write_text(json.dumps({"label_patients": [*fold.train, *fold.val]}))
    assert run(folder, config, *command).returncode == 0
    found = findings(folder, "honest")
    assert (found["gene_list_labels"]["level"], found["gene_list_labels"]["fold"]) == ("leak", 0)
    assert found["gene_list_labels"]["count"] == len(fold.val)


def test_nothing_is_found_where_nothing_was_changed(tiny: Path) -> None:
    found = pd.DataFrame(json.loads((tiny / RESULTS / "audit/honest/tiny.json").read_text())["findings"])
    assert set(found["level"]) == {"warning"}
    assert set(found["kind"]) <= {"site_codes", "few_events", "support_size"}
