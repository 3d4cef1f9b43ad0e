"""Rule audit on files as the rules before it write them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.config import PROTOCOL_PRESETS
from mirrorflow.errors import MirrorflowError
from mirrorflow.jobs.run_audit import run_audit, stop_if_dishonest
from mirrorflow.splits import Fold
from mirrorflow.store.predictions import write_predictions
from mirrorflow.store.tables import write_cohort, write_fold

CLEAN = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def audited(
    folder: Path,
    folds: list[Fold],
    protocol: str = "honest",
    *,
    seen: list[list[str]] | None = None,
    lost: tuple[str, ...] = (),
) -> dict:
    """Audit a cohort of four; returns what was written."""
    claims = protocol.startswith("honest")
    keys = PROTOCOL_PRESETS[protocol] | {"preset": protocol, "claims_honest": claims}
    frame = pd.DataFrame(
        {
            "patient": list("ABCD"),
            "label": list("xyxy"),
            "time_days": 1.0,
            "event": 1.0,
            "site": list("1122"),
            "slide_ids": [[f"{name}-1"] for name in "ABCD"],
        }
    )
    write_cohort(folder / "demo.parquet", frame, ["x", "y"])
    splits, genes = [], []
    for number, fold in enumerate(folds):
        splits.append(str(folder / f"splits_{number}.csv"))
        write_fold(splits[-1], fold)
        genes.append(str(folder / f"fold{number}.tsv"))
        labels = list(fold.train) if seen is None else seen[number]
        Path(genes[-1]).with_suffix(".json").write_text(json.dumps({"label_patients": labels}))
    settings = [{"setting": name, "lost_units": list(lost)} for name in ("all", "3-shot")]
    units = pd.DataFrame(
        {"patient": ["C", "D"], "slide_id": [f"{name}-1" if keys["unit"] == "slide" else "" for name in "CD"]}
    )
    rows = units.assign(setting="all", seed=0, fold=0, label=["x", "y"], prob_x=0.5, prob_y=0.5)
    rows = rows[~rows["slide_id"].isin(lost)]
    notes = {"settings": settings, "protocol": keys, "classes": ["x", "y"]}
    write_predictions(folder / "p" / "subtyping" / "fold0.parquet", rows, notes)
    (folder / "p" / "manifest.json").write_text(
        json.dumps({"written": {"subtyping/fold0.parquet": "d"}, "skipped": {}})
    )
    run_audit(
        str(folder / "demo.parquet"),
        splits,
        genes,
        [str(folder / "p" / "manifest.json")],
        str(folder / "audit"),
        protocol=keys,
        shots=[],
        name=protocol,
        scaled_upstream=False,
    )
    return json.loads((folder / "audit.json").read_text())


def kinds(record: dict) -> list[tuple[str, str, int | None]]:
    return [(finding["level"], finding["kind"], finding["fold"]) for finding in record["findings"]]


def test_an_honest_run_has_nothing_to_find(tmp_path):
    record = audited(tmp_path, CLEAN)
    assert {finding["kind"] for finding in record["findings"]} == {"few_events"}
    assert (record["protocol"], record["cohort"], record["leaks"]) == ("honest", "demo", 0)
    assert record["claims_honest"]
    page = (tmp_path / "audit.md").read_text()
    assert "| genes: subtype labels | 0 | 2 | 0 |  |" in page
    stop_if_dishonest(str(tmp_path / "audit.json"), strict=True)


def test_leaks_of_splits_and_genes_are_found_and_stop_an_honest_run(tmp_path):
    folds = [Fold(("A", "B", "C"), ("C", "D")), CLEAN[1]]
    record = audited(tmp_path, folds, seen=[["A", "B", "C", "D"], ["C"]])
    assert ("leak", "patients_in_both", 0) in kinds(record)
    assert ("leak", "gene_labels", 0) in kinds(record)
    assert ("warning", "sites_in_both", 0) in kinds(record)
    assert ("leak", "evaluated_in_training", 0) in kinds(record)
    assert record["leaks"] == 3
    page = (tmp_path / "audit.md").read_text()
    assert "| leak | fold 0 | genes were chosen with the subtype labels of 2 evaluation patients | C, D |" in page
    with pytest.raises(MirrorflowError, match="3 leaks"):
        stop_if_dishonest(str(tmp_path / "audit.json"), strict=True)


def test_the_papers_protocol_is_found_out_and_may_go_on(tmp_path):
    record = audited(tmp_path, CLEAN, "paper", lost=("D-1",))
    assert {("leak", "epoch", None), ("leak", "survival_bins", None)} <= set(kinds(record))
    (loss,) = [finding for finding in record["findings"] if finding["kind"] == "lost_units"]
    assert (loss["fold"], loss["count"]) == (0, 1)
    assert loss["text"].endswith("1 y")
    stop_if_dishonest(str(tmp_path / "audit.json"), strict=True)
