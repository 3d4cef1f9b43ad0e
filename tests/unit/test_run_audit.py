"""Rule audit on files as the rules before it write them."""

import json
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.audit.claims import fail_on_leak
from mirrorflow.audit.records import graver
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import MirrorflowError
from mirrorflow.steps.audit.audit import AuditFiles, AuditSettings, run_audit
from mirrorflow.store.digest import file_digest, names_digest, patients_digest
from mirrorflow.store.predictions import content_digest, write_predictions
from mirrorflow.store.tables import write_cohort, write_fold, write_sheet

CLEAN = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def audited(
    folder: Path,
    folds: list[Fold],
    protocol: str = "honest",
    *,
    seen: list[list[str]] | None = None,
    lost: tuple[str, ...] = (),
    shots: tuple[int, ...] = (),
    few_shot_seen: list[list[str]] | None = None,
    expression: str | None = None,
    inner: list[list[Fold]] | None = None,
    own: list[list[str]] | None = None,
    keys: dict[str, object] | None = None,
    trained_on: list[str] | None = None,
    scaled_on: list[str] | None = None,
    models: tuple[str, ...] = (),
    moved: list[int] | None = None,
    site_kind: str = "column",
    saw: dict[str, dict[str, object]] | None = None,
    collection: str = "",
    sites: str = "1122",
) -> dict:
    """Audit a cohort of four; returns what was written."""
    claims = protocol.startswith("honest")
    keys = PROTOCOL_PRESETS[protocol] | {"preset": protocol, "claims_honest": claims} | (keys or {})
    keys |= {"epoch": "nested"} if inner else {}
    frame = pd.DataFrame(
        {
            "patient": list("ABCD"),
            "label": list("xyxy"),
            "time_days": 1.0,
            "event": 1.0,
            "site": [site.strip() for site in sites],
            "slide_ids": [[f"{name}-1"] for name in "ABCD"],
        }
    )
    write_cohort(folder / "demo.parquet", frame, ["x", "y"])
    splits, genes, few_shot_genes = [], [], []
    scope = folder / "scope" / "demo"
    (scope / "genes").mkdir(parents=True, exist_ok=True)
    for number, fold in enumerate(folds):
        splits.append(str(folder / f"splits_{number}.csv"))
        write_fold(splits[-1], fold)
        genes.append(str(scope / "genes" / f"fold{number}.tsv"))
        labels = list(fold.train) if seen is None else seen[number]
        Path(genes[-1]).with_suffix(".json").write_text(json.dumps({"label_patients": labels, "outcome_patients": []}))
        if few_shot_seen is not None:
            few_shot_genes.append(str(scope / "genes" / f"few-shot-fold{number}.tsv"))
            seen_there = json.dumps({"label_patients": few_shot_seen[number]})
            Path(few_shot_genes[-1]).with_suffix(".json").write_text(seen_there)
    own_genes = [str(scope / "genes" / "mirror--genes-a" / f"fold{number}.tsv") for number in range(len(own or []))]
    for path, labels in zip(own_genes, own or [], strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).with_suffix(".json").write_text(json.dumps({"label_patients": labels}))
    inner_splits, inner_genes = [], []
    for number, parts in enumerate(inner or []):
        for k, part in enumerate(parts):
            inner_splits.append(str(scope / "splits" / f"inner{number}-splits_{k}.csv"))
            write_fold(inner_splits[-1], part)
            inner_genes.append(str(scope / "genes" / f"inner{number}-fold{k}.tsv"))
            Path(inner_genes[-1]).with_suffix(".json").write_text(json.dumps({"label_patients": list(part.train)}))
    digests = [file_digest(path) for path in inner_splits if path.endswith("_0.csv")]
    choice = {"epoch": 1, "epoch_choice": {"mean": [0.5, 0.4], "splits": digests}, "seed": 0} if inner else {}
    ending = "-1" if keys["unit"] == "slide" else ""
    training = [f"{name}{ending}" for name in "ABCD" if name in (trained_on or folds[0].train)]
    fitted = {"trained_on": names_digest(training)}
    if keys["rna_scaling"] == "train":
        fitted["fitted_on"] = {"RNA scaler": patients_digest(scaled_on or folds[0].train)}
    settings = [choice | fitted | {"setting": name, "lost_units": list(lost)} for name in ("all", "3-shot")]
    summary = folder / "summary.tsv"
    write_sheet(summary, pd.DataFrame({"fold": range(len(folds)), "train": 0} | ({"moved": moved} if moved else {})))
    units = pd.DataFrame(
        {"patient": ["C", "D"], "slide_id": [f"{name}-1" if keys["unit"] == "slide" else "" for name in "CD"]}
    )
    rows = units.assign(setting="all", seed=0, fold=0, label=["x", "y"], prob_x=0.5, prob_y=0.5)
    rows = rows[~rows["slide_id"].isin(lost)]
    notes = {"settings": settings, "protocol": keys, "classes": ["x", "y"]}
    name = "subtyping/fold0.parquet"
    place = folder / "predictions" / protocol / "demo" / "none" / "linear"
    write_predictions(place / name, rows, notes)
    checksums = {name: content_digest(place / name)}
    (place / "manifest.json").write_text(json.dumps({"written": {name: "d"}, "skipped": {}, "checksums": checksums}))
    files = AuditFiles(
        str(folder / "demo.parquet"),
        splits,
        genes,
        [str(place / "manifest.json")],
        few_shot_genes=few_shot_genes,
        expression=expression,
        inner_splits=inner_splits,
        inner_genes=inner_genes,
        own_genes=own_genes,
        models=models,
        split_summary=str(summary),
    )
    settings = AuditSettings(keys, shots, protocol, scaled_upstream=False, site_kind=site_kind, saw=saw or {})
    settings = replace(settings, collection=collection)
    run_audit(files, settings, str(folder / "audit"))
    return json.loads((folder / "audit.json").read_text())


def kinds(record: dict) -> list[tuple[str, str, int | None]]:
    return [(finding["level"], finding["kind"], finding["fold"]) for finding in record["findings"]]


def beside_few_events(record: dict) -> list[tuple[str, str, int | None]]:
    """A cohort of four has few events whatever is done with it."""
    return [found for found in kinds(record) if found[1] != "few_events"]


def test_an_honest_run_has_nothing_to_find(tmp_path):
    record = audited(tmp_path, CLEAN)
    assert beside_few_events(record) == []
    assert (record["protocol"], record["cohort"], record["leaks"]) == ("honest", "demo", 0)
    assert record["claims_honest"]
    page = (tmp_path / "audit.md").read_text()
    assert "| genes: subtype labels | 0 | 2 | 0 |  |" in page
    fail_on_leak(str(tmp_path / "audit.json"), strict=True)


def test_an_encoder_that_saw_the_evaluated_collection_is_a_warning_and_unknown_ones_are_named_quietly(tmp_path):
    saw = {
        "phikon": {"what": ["tcga"], "source": "Filiot et al. 2023"},
        "mine": {"what": ["unknown"], "source": ""},
        "resnet50": {"what": ["no"], "source": "ImageNet"},
    }
    record = audited(tmp_path, CLEAN, saw=saw, collection="tcga")
    (finding,) = (one for one in record["findings"] if one["kind"] == "encoder_saw_evaluation_slides")
    assert (finding["level"], finding["count"]) == ("warning", 4)
    assert finding["text"].startswith("encoder phikon was trained on TCGA (Filiot et al. 2023), of which 4 of 4 eval")
    assert record["encoder_saw"] == {"phikon": "yes", "mine": "unknown", "resnet50": "no"}
    assert record["remarks"][-1] == "What mine was trained on is not known here (`features.saw` says it)."
    assert record["leaks"] == 0
    for own in ("none", "cptac", ""):  # patients A to D are of no collection by their names
        record = audited(tmp_path, CLEAN, saw=saw, collection=own)
        assert "encoder_saw_evaluation_slides" not in {kind for _, kind, _ in kinds(record)}
        assert record["encoder_saw"]["phikon"] == "no"


@pytest.mark.parametrize(("sites", "said"), [("    ", "No patient's site is known"), ("1111", "are of one (1)")])
def test_a_cohort_without_sites_or_with_one_is_told_so_and_nothing_stops(tmp_path, sites, said):
    record = audited(tmp_path, CLEAN, sites=sites)
    assert said in record["lacking_sites"]
    assert record["lacking_sites"] in record["remarks"]
    assert "sites_tell_outcome" not in {kind for _, kind, _ in kinds(record)}


def test_leaks_of_splits_and_genes_are_found_and_stop_an_honest_run(tmp_path):
    folds = [Fold(("A", "B", "C"), ("C", "D")), CLEAN[1]]
    record = audited(tmp_path, folds, seen=[["A", "B", "C", "D"], ["C"]])
    assert ("leak", "patients_in_both", 0) in kinds(record)
    assert ("leak", "gene_labels", 0) in kinds(record)
    assert ("warning", "sites_in_both", 0) in kinds(record)
    assert ("leak", "evaluated_in_training", 0) in kinds(record)
    assert record["leaks"] == 3
    page = (tmp_path / "audit.md").read_text()
    said = "genes were chosen with the subtype labels of 4 patients, 2 evaluation patients among them"
    assert f"| leak | fold 0 | {said} | C, D |" in page
    with pytest.raises(MirrorflowError, match="3 leaks"):
        fail_on_leak(str(tmp_path / "audit.json"), strict=True)


def test_folds_that_share_patients_are_told_their_repair_by_page_and_error(tmp_path):
    folds = [Fold(("A", "B", "C"), ("C", "D")), CLEAN[1]]
    audited(tmp_path, folds, keys={"splits": "published"})
    said = ("`splits: published-repaired` in the protocol", "`mirrorflow audit --splits FOLDER --repair OUT`")
    page = (tmp_path / "audit.md").read_text()
    with pytest.raises(MirrorflowError) as stopped:
        fail_on_leak(str(tmp_path / "audit.json"), strict=True)
    for text in said:
        assert text in page
        assert text in str(stopped.value)
    audited(tmp_path, folds)  # folds that are drawn here have no folder to repair
    assert "-repaired" not in (tmp_path / "audit.md").read_text()


def test_repaired_folds_say_how_many_patients_were_moved(tmp_path):
    record = audited(tmp_path, CLEAN, keys={"splits": "published-repaired"}, moved=[3, 1])
    assert record["repaired"] == [3, 1]
    assert "every patient is kept once: 4 patients moved (by fold: 3, 1)." in (tmp_path / "audit.md").read_text()
    assert "repaired, every" not in " ".join(audited(tmp_path, CLEAN)["remarks"])


def test_the_page_says_which_part_of_split_files_is_evaluated(tmp_path):
    record = audited(tmp_path, [Fold(("A", "B"), ("C",), choice=("D",)), Fold(("C", "D"), ("A",), choice=("B",))])
    said = "Evaluated on the column test of the split files, whose val (1, 1 patients by fold) chooses epochs"
    assert record["remarks"][0].startswith(said)
    assert said in (tmp_path / "audit.md").read_text()
    assert not any(finding["kind"] == "in_neither" for finding in record["findings"])
    left_out = audited(tmp_path, [Fold(("A", "B"), ("C",), unused=("D",)), Fold(("C",), ("A",), unused=("B", "D"))])
    assert "whose test (1, 2 patients by fold) takes no part" in left_out["remarks"][0]
    assert not any("split files" in remark for remark in audited(tmp_path, CLEAN)["remarks"])


def test_the_page_says_that_no_outcome_chose_genes(tmp_path):
    audited(tmp_path, CLEAN)
    assert "No outcome was used to choose genes." in (tmp_path / "audit.md").read_text()


def test_sites_known_by_code_alone_are_remarked_on(tmp_path):
    assert beside_few_events(audited(tmp_path, CLEAN, site_kind="barcode")) == [("warning", "site_codes", None)]
    assert beside_few_events(audited(tmp_path, CLEAN, site_kind="institutions")) == []


def test_whom_methods_and_scalers_were_fitted_on_is_held_against_the_folds(tmp_path):
    record = audited(tmp_path, CLEAN)
    lines = {(line["what"], line["patients"], line["of_evaluation"]) for line in record["seen"]}
    assert {("training on subtyping, all", 2, 0), ("RNA scaler", 2, 0)} <= lines
    record = audited(tmp_path, CLEAN, trained_on=["A", "B", "C"], scaled_on=["A", "B", "C", "D"])
    leaks = [found for found in record["findings"] if found["level"] == "leak"]
    assert {(leak["kind"], leak["fold"], leak["count"]) for leak in leaks} == {("training", 0, 0), ("scaler", 0, 2)}
    assert any("was fitted on others than its training part" in leak["text"] for leak in leaks)
    assert any("RNA scaler of" in leak["text"] and "saw every patient" in leak["text"] for leak in leaks)


def test_a_model_without_a_record_is_a_leak_and_not_passed_over(tmp_path):
    folder = tmp_path / "models" / "phikon" / "mirror" / "seed1" / "fold0"
    folder.mkdir(parents=True)
    (folder / "done.json").write_text("{}")
    record = audited(tmp_path, CLEAN, models=(str(folder / "done.json"),))
    assert beside_few_events(record) == [("leak", "pretraining", 0)]
    assert "of mirror (phikon, seed1) does not record its training patients" in (tmp_path / "audit.md").read_text()


@pytest.mark.parametrize(("chosen_on", "count"), [("CD", 2), ("BD", 0)])
def test_a_pretraining_whose_epoch_was_chosen_on_others_is_a_leak(tmp_path, chosen_on, count):
    folder = tmp_path / "models" / "phikon" / "mirror" / "seed1" / "fold0"
    folder.mkdir(parents=True)
    (folder / "done.json").write_text("{}")
    made_with = {"data": {"units": names_digest(list("AB"))}}
    (folder / "config.json").write_text(json.dumps(made_with))
    record = audited(tmp_path, CLEAN, models=(str(folder / "done.json"),))
    assert beside_few_events(record) == []
    made_with["epoch_chosen_on"] = {"units": names_digest(list(chosen_on))}
    (folder / "config.json").write_text(json.dumps(made_with))
    record = audited(tmp_path, CLEAN, models=(str(folder / "done.json"),))
    assert beside_few_events(record) == [("leak", "pretraining_epoch", 0)]
    (leak,) = (found for found in record["findings"] if found["kind"] == "pretraining_epoch")
    assert leak["count"] == count


def test_labels_that_chose_genes_are_counted_by_setting(tmp_path):
    record = audited(tmp_path, CLEAN, shots=(3,), few_shot_seen=[[], []])
    assert beside_few_events(record) == []
    assert record["gene_labels"] == {"all": [2, 2], "k-shot": [0, 0]}
    assert "genes of setting k-shot, by fold: 0, 0." in (tmp_path / "audit.md").read_text()
    record = audited(tmp_path, CLEAN, shots=(3,))
    assert beside_few_events(record) == [("warning", "few_shot_gene_labels", None)]
    assert record["gene_labels"]["k-shot"] == [2, 2]


def test_an_expression_that_looks_standardised_is_warned_of(tmp_path):
    record = tmp_path / "rna.parquet.json"
    record.write_text(json.dumps({"counts": {"genes": 4, "genes_like_z_scores": 3}}))
    found = beside_few_events(audited(tmp_path, CLEAN, expression=str(record)))
    assert found == [("warning", "transductive_expression", None)]
    record.write_text(json.dumps({"counts": {"genes": 4}}))
    assert beside_few_events(audited(tmp_path, CLEAN, expression=str(record))) == []


def test_the_papers_protocol_is_found_out_and_may_go_on(tmp_path):
    record = audited(tmp_path, CLEAN, "paper", lost=("D-1",))
    assert {("leak", "epoch", None), ("leak", "survival_bins", None)} <= set(kinds(record))
    (loss,) = [finding for finding in record["findings"] if finding["kind"] == "lost_units"]
    assert (loss["fold"], loss["count"]) == (0, 1)
    assert loss["text"].endswith("1 y")
    fail_on_leak(str(tmp_path / "audit.json"), strict=True)


@pytest.mark.parametrize("order", [1, -1])
def test_bins_of_all_units_are_a_leak_whichever_method_has_them(order):
    """The last method that was read decided for all."""
    for whose in (["all units", "training"], ["unknown", "all units"]):
        assert reduce(graver, whose[::order]) == "all units"
    assert reduce(graver, ["training", "unknown"][::order]) == "unknown"
    assert reduce(graver, ["training", "training"]) == "training"


def test_a_nested_choice_has_nothing_to_find_and_says_on_whom_it_was_made(tmp_path):
    record = audited(tmp_path, CLEAN, inner=[[Fold(("A",), ("B",)), Fold(("C",), ("D",))]])
    assert beside_few_events(record) == []
    page = (tmp_path / "audit.md").read_text()
    assert "| genes of inner fold 0: subtype labels | 1 | 1 | 0 |  |" in page
    assert "subtyping" in page
    assert "| 0 | 2 | 0 | epoch 1 of 2, inner mean 0.500 |" in page


def test_an_inner_fold_with_evaluation_patients_stops_an_honest_run(tmp_path):
    record = audited(tmp_path, CLEAN, inner=[[Fold(("A", "C"), ("B",)), Fold(("C",), ("D",))]])
    assert [found for found in kinds(record) if found[0] == "leak"] == [
        ("leak", "inner_evaluated", 0),
        ("leak", "gene_labels", 0),
    ]
    with pytest.raises(MirrorflowError, match="the epoch is chosen with 1 evaluation patients of the fold"):
        fail_on_leak(str(tmp_path / "audit.json"), strict=True)


def test_genes_that_a_method_has_for_itself_are_audited_too(tmp_path):
    assert beside_few_events(audited(tmp_path, CLEAN, own=[["A", "B"], ["C"]])) == []
    record = audited(tmp_path, CLEAN, own=[["A", "B"], ["C", "A"]])
    assert beside_few_events(record) == [("leak", "gene_labels", 1)]
    text = "genes of mirror--genes-a were chosen with the subtype labels of 2 patients, 1 evaluation patients among"
    assert text in (tmp_path / "audit.md").read_text()
