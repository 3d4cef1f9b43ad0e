"""Predictions that were changed after they were made: no table, figure or audit takes their word."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mirrorflow.audit.claims import fail_on_leak, is_withheld
from mirrorflow.audit.findings import LEAK, WARNING
from mirrorflow.audit.origins import Contents, Origins
from mirrorflow.cohorts.outcomes import differing_outcomes
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.make_optimism import make_optimism
from mirrorflow.steps.results.survival_figures import survival_task
from mirrorflow.store.method_predictions import read_checked, read_manifest, read_stored
from mirrorflow.store.predictions import content_digest, is_unchanged, read_predictions, write_predictions
from mirrorflow.store.tables import read_cohort, read_numbers, write_cohort, write_fold

NAMES = Path(__file__).parents[2] / "resources" / "names.tsv"
PATIENTS = [f"P{i:02}" for i in range(40)]
LABELS = np.tile(["a", "b"], 20)
NOTES = {"digest": "d", "classes": ["a", "b"], "settings": [{"setting": "all", "k_real": None, "lost_units": []}]}
SETTINGS = {"bootstrap": 5, "confidence": 0.95, "seed": 0}


def cohort(folder: Path) -> str:
    times = np.arange(1.0, 41)
    frame = pd.DataFrame({"patient": PATIENTS, "label": LABELS, "time_days": times, "event": 1.0, "site": ""})
    write_cohort(folder / "c.parquet", frame.assign(slide_ids=[[name] for name in PATIENTS]), ["a", "b"])
    return str(folder / "c.parquet")


def manifest(folder: Path, protocol: str = "paper") -> Path:
    """A method that is right in half of the cases, predicted on one fold, with its checksums."""
    place = folder / "predictions" / protocol / "c" / "e" / "linear"
    rows = pd.DataFrame({"setting": "all", "seed": 0, "fold": 0, "patient": PATIENTS, "slide_id": ""})
    chance = np.tile([0.9, 0.1, 0.1, 0.9], 10)
    tables = {
        "subtyping": rows.assign(label=LABELS, prob_a=chance, prob_b=1 - chance),
        "survival": rows.assign(time_days=np.arange(1.0, 41), event=1.0, risk=chance),
    }
    written, checksums = {}, {}
    for task, table in tables.items():
        name = f"{task}/fold0.parquet"
        write_predictions(place / name, table, NOTES)
        written[name], checksums[name] = "d", content_digest(place / name)
    record = {"written": written, "skipped": {}, "checksums": checksums}
    (place / "manifest.json").write_text(json.dumps(record))
    return place / "manifest.json"


def edit(path: Path, **columns: object) -> None:
    """Change columns of a parquet file by hand, its metadata kept."""
    table = pq.read_table(path)
    changed = table.to_pandas().assign(**columns)
    pq.write_table(
        type(table).from_pandas(changed, preserve_index=False).replace_schema_metadata(table.schema.metadata), path
    )


def without_checksums(path: Path) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "checksums"}))


def metrics(folder: Path, path: Path) -> pd.DataFrame:
    write_fold(folder / "splits_0.csv", Fold((), tuple(PATIENTS)))
    evaluate([str(path)], cohort(folder), [str(folder / "splits_0.csv")], str(folder / "m.tsv"), SETTINGS)
    return read_numbers(folder / "m.tsv", ["mean"]).set_index("metric")["mean"]


# The digest.


def test_a_checksum_is_of_values_not_of_bytes(tmp_path):
    path = manifest(tmp_path).parent / "survival/fold0.parquet"
    before = content_digest(path)
    assert read_predictions(path).content == before
    table = pq.read_table(path)
    pq.write_table(table, path, compression="gzip")
    assert content_digest(path) == before
    edit(path, risk=lambda rows: rows["risk"].where(rows.index > 0, np.nextafter(rows["risk"], 2)))
    assert content_digest(path) != before
    assert not is_unchanged(path)


def test_a_changed_note_changes_the_checksum_and_missing_values_do_not_matter(tmp_path):
    path = tmp_path / "fold0.parquet"
    rows = pd.DataFrame({"patient": ["A", "B"], "surv_0": [0.5, np.nan], "slide_id": ["", None]})
    write_predictions(path, rows, NOTES)
    before = content_digest(path)
    write_predictions(path, rows, NOTES)
    assert content_digest(path) == before
    write_predictions(path, rows, NOTES | {"classes": ["b", "a"]})
    assert content_digest(path) != before


# The reader that tables and figures share.


def test_the_whole_file_is_read_with_the_cohorts_outcomes(tmp_path):
    found, (frame, _) = read_manifest(manifest(tmp_path)), read_cohort(cohort(tmp_path))
    name = "subtyping/fold0.parquet"
    pd.testing.assert_frame_equal(read_checked(found, name, frame).rows, read_stored(found, name).rows)


@pytest.mark.parametrize("checked", [True, False])
def test_edited_labels_give_no_number(tmp_path, checked):
    path = manifest(tmp_path)
    assert metrics(tmp_path, path)["accuracy"] == 0.5
    edit(path.parent / "subtyping/fold0.parquet", label=lambda rows: np.where(rows["prob_a"] > 0.5, "a", "b"))
    if not checked:
        without_checksums(path)
    with pytest.raises(InputError, match=r"subtyping/fold0\.parquet: .*has otherwise.*Delete this file and") as stopped:
        metrics(tmp_path, path)
    assert ("changed after it was made" in str(stopped.value)) is checked


def test_edited_probabilities_give_no_number(tmp_path):
    path = manifest(tmp_path)
    right = (np.array(LABELS) == "a").astype(float)
    edit(path.parent / "subtyping/fold0.parquet", prob_a=right, prob_b=1 - right)
    with pytest.raises(InputError, match=r"subtyping/fold0\.parquet: .*changed after it was made.*run again"):
        metrics(tmp_path, path)


def test_an_edited_k_shot_row_is_seen_though_the_first_row_of_the_patient_is_right(tmp_path):
    frame, _ = read_cohort(cohort(tmp_path))
    rows = pd.DataFrame({"patient": ["P00", "P00"], "label": ["a", "b"], "setting": ["all", "3-shot"]})
    assert differing_outcomes(rows, frame, "subtyping") == {"other_targets": ["P00"]}
    rows = pd.DataFrame({"patient": ["P00", "Z"], "time_days": [1.0, 1.0], "event": [1.0, 1.0]})
    assert differing_outcomes(rows, frame, "survival") == {"unknown_patients": ["Z"]}


def test_figures_and_the_optimism_table_take_no_edited_file(tmp_path):
    base, other = manifest(tmp_path, "honest"), manifest(tmp_path)
    patients, names = cohort(tmp_path), str(NAMES)
    edit(other.parent / "survival/fold0.parquet", time_days=np.arange(40.0, 0, -1))
    with pytest.raises(InputError, match=r"survival/fold0\.parquet: .*has otherwise"):
        survival_task(other, patients, {}, {"paper"}).draw()
    results = tmp_path / "results.csv"
    pd.DataFrame({"protocol": ["honest", "paper"], "cohort": "c"}).to_csv(results, index=False)
    protocols = {name: {"epoch": name} for name in ("honest", "paper")}
    settings = SETTINGS | {"base": "honest", "protocols": protocols, "titles": {}}
    with pytest.raises(InputError, match=r"survival/fold0\.parquet: .*has otherwise"):
        make_optimism(
            [str(base), str(other)], {"c": patients}, str(results), names, str(tmp_path / "o"),
            {"epoch": "paper"}, settings,
        )  # fmt: skip


def test_a_manifest_that_is_none_is_said(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest\.json: not readable as the manifest .*delete it and run again"):
        read_manifest(tmp_path / "manifest.json")


# What the auditor says.


def contents(path: Path) -> list:
    found, checked = read_manifest(path), Contents()
    for name in found.names:
        checked.read(found, name, read_stored(found, name))
    return [(one.level, one.kind, one.count, one.examples) for one in checked.findings()]


def test_changed_files_are_a_leak_and_unknown_ones_a_warning(tmp_path):
    path = manifest(tmp_path)
    assert contents(path) == []
    edit(path.parent / "survival/fold0.parquet", risk=0.5)
    assert contents(path) == [(LEAK, "edited_predictions", 1, ("e/linear/survival/fold0.parquet",))]
    without_checksums(path)
    assert [found[:3] for found in contents(path)] == [(WARNING, "no_checksum", 2)]


@pytest.mark.parametrize("kind", ["edited_predictions", "other_targets", "filled_in", "unknown_patients"])
def test_predictions_that_are_not_the_runs_are_withheld_whatever_is_claimed(tmp_path, kind):
    leak = {"level": LEAK, "kind": kind, "text": "changed", "fold": 0, "count": 1, "examples": ["P00"]}
    record = {"claims_honest": False, "protocol": "paper", "cohort": "c", "findings": [leak]}
    assert is_withheld(record, strict=False)
    assert not is_withheld(record | {"findings": [leak | {"level": WARNING}]}, strict=True)
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(MirrorflowError, match=r"no number is made") as stopped:
        fail_on_leak(str(tmp_path / "a.json"), strict=False)
    assert "strict: false" not in str(stopped.value)
    assert "delete this file and the method's manifest.json" in str(stopped.value)


def origins(*files: tuple[str, str, dict]) -> list:
    seen = Origins()
    for encoder, method, notes in files:
        seen.read(encoder, method, notes)
    return [(one.level, one.kind, one.count, one.examples) for one in seen.findings()]


def test_a_table_of_methods_that_saw_different_features_or_expression_is_a_leak():
    old, new = {"features_digest": "1", "expression_digest": "x"}, {"features_digest": "2", "expression_digest": "x"}
    assert origins(("e", "linear", old), ("e", "mirror", old), ("f", "linear", new), ("e", "majority", {})) == []
    assert origins(("e", "linear", old), ("e", "mirror", new)) == [(LEAK, "mixed_features", 2, ("linear", "mirror"))]
    other = {"expression_digest": "y"}
    found = origins(("e", "linear", old), ("none", "rna-linear", other))
    assert found == [(LEAK, "mixed_expression", 2, ("linear", "rna-linear"))]
    found = origins(("e", "linear", old), ("e", "linear", new))  # folds of one method
    assert found == [(LEAK, "mixed_features", 2, ("linear",))]
