"""What methods are given: duplicates under other names, columns and genes that tell all, gene lists of users."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.audit.duplicates import Input, audit_duplicates, audit_encoders, near_pairs
from mirrorflow.audit.findings import LEAK, WARNING
from mirrorflow.audit.inputs import InputFiles, audit_inputs, audit_source_inputs
from mirrorflow.audit.lists import audit_list
from mirrorflow.audit.tells import Targets, audit_columns, ordering, separating
from mirrorflow.cohorts.splits import Fold
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.content import describe_content
from mirrorflow.store.expression import ExpressionWriter
from mirrorflow.store.slide_sheet import SlideRow

N = 60
PATIENTS = [f"P{i:02}" for i in range(N)]


def cohort(**columns: object) -> pd.DataFrame:
    """Sixty patients, two thirds of them with an event, and what a test adds."""
    rng = np.random.default_rng(0)
    frame = {
        "patient": PATIENTS,
        "label": ["a", "b"] * (N // 2),
        "time_days": rng.permutation(np.arange(1.0, N + 1)),
        "event": [1.0, 1, 0] * (N // 3),
        "slide_ids": [[f"{name}-1"] for name in PATIENTS],
        "age": rng.integers(30, 90, N).astype(str),
        "sex": rng.choice(["f", "m"], N),
    }
    return pd.DataFrame(frame | columns)


def said(findings) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.level, one.kind, one.examples) for one in findings]


# Digests of feature files.


def write_features(path: Path, values: np.ndarray, *, name: str = "features", **options: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, **options)
        file.attrs["slide"] = path.stem  # the bytes of two files differ
    return path


def drawn(seed: int, patches: int = 300, dim: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).random((patches, dim), np.float32)


@pytest.mark.parametrize("patches", [1, 3, 9, 300])
def test_the_same_values_have_one_digest_however_they_are_stored(tmp_path, patches):
    values = drawn(1, patches)
    path = write_features(tmp_path / "plain.h5", values)
    content = describe_content(path)
    for other in (
        write_features(tmp_path / "half.h5", values.astype(np.float16)),
        write_features(tmp_path / "zip.h5", values, chunks=(1, 24), compression="gzip"),
        write_features(tmp_path / "stamp.h5", values[None], name="feats"),
    ):
        assert describe_content(other).digest == content.digest, other
    assert describe_content(write_features(tmp_path / "more.h5", drawn(2, patches))).digest != content.digest
    longer = np.concatenate([values, values[-1:]])
    assert describe_content(write_features(tmp_path / "longer.h5", longer)).digest != content.digest


def test_an_outline_is_nearly_the_same_for_nearly_the_same_features(tmp_path):
    outlines = [describe_content(write_features(tmp_path / f"{k}.h5", drawn(k))).outline for k in range(40)]
    noisy = drawn(3) + np.float32(1e-6) * np.random.default_rng(9).standard_normal((300, 24), np.float32)
    again = describe_content(write_features(tmp_path / "again.h5", noisy))
    assert again.digest != describe_content(tmp_path / "3.h5").digest
    assert [sorted(pair) for pair in near_pairs(np.array([*outlines, again.outline]))] == [[3, 40]]


def test_files_that_say_nothing_have_no_digest(tmp_path):
    assert describe_content(write_features(tmp_path / "empty.h5", np.zeros((0, 8), np.float32))).digest == ""
    assert describe_content(write_features(tmp_path / "flat.h5", np.zeros((9, 8), np.float32))).digest == ""
    (tmp_path / "torn.h5").write_bytes(b"none")
    assert describe_content(tmp_path / "torn.h5").digest == ""


# Slides and expression of several patients.


def features_of(
    folder: Path, frame: pd.DataFrame, *copies: tuple[int, int], noise: float = 0.0, offset: int = 0
) -> str:
    """An index of one slide a patient; ``copies``: (of whom, under whose name)."""
    values = {k: drawn(k + offset) for k in range(len(frame))}
    for source, target in copies:
        values[target] = values[source] + np.float32(noise) * drawn(99)
    for k, slides in enumerate(frame["slide_ids"]):
        write_features(folder / f"{slides[0]}.h5", values[k])
    rows = [SlideRow(slides[0], name) for slides, name in zip(frame["slide_ids"], frame["patient"], strict=True)]
    index_features(rows, folder, folder / "index.tsv")
    return str(folder / "index.tsv")


def audited(frame: pd.DataFrame, **files: object) -> list[tuple[str, str, tuple[str, ...]]]:
    return said(audit_inputs(InputFiles(**files), frame, [])[0])


def test_the_same_slide_under_two_patients_is_a_leak_and_nothing_else_is(tmp_path):
    frame = cohort()
    assert audited(frame, indexes={"e": features_of(tmp_path, frame)}) == []
    (found,) = audit_inputs(InputFiles({"e": features_of(tmp_path, frame, (3, 7), (3, 9))}), frame, [])[0]
    assert (found.level, found.kind, found.count) == (LEAK, "same_features", 3)
    assert found.examples == ("P03-1 (P03) = P07-1 (P07)",)
    assert "features of e" in found.text
    nearly = audited(frame, indexes={"e": features_of(tmp_path, frame, (3, 7), noise=1e-6)})
    assert nearly == [(WARNING, "similar_features", ("P03-1 (P03) = P07-1 (P07)",))]


def test_two_slides_of_one_patient_may_be_the_same_and_others_slides_do_not_count(tmp_path):
    frame = cohort()
    index = features_of(tmp_path, frame, (3, 7), (1, 2))
    frame = frame.drop(index=7).reset_index(drop=True)  # P07 fell out of the cohort
    frame.loc[1, "patient"] = "P02"
    assert audited(frame, indexes={"e": index}) == []


def test_a_slide_of_the_source_under_another_name_is_a_leak(tmp_path):
    source, target = cohort(), cohort().iloc[:5].assign(patient=[f"Q{i}" for i in range(5)])
    target["slide_ids"] = [[f"{name}-1"] for name in target["patient"]]
    for name in ("s", "t"):
        (tmp_path / name).mkdir()
    theirs = {"e": features_of(tmp_path / "s", source)}
    ours = {"e": features_of(tmp_path / "t", target, offset=100), "other": "absent"}
    assert list(audit_source_inputs("s", theirs, source, ours, target)) == []
    shutil.copy(tmp_path / "s/P03-1.h5", tmp_path / "t/Q2-1.h5")
    rows = [SlideRow(f"Q{i}-1", f"Q{i}") for i in range(5)]
    index_features(rows, tmp_path / "t", tmp_path / "t/index.tsv")
    found = said(audit_source_inputs("s", theirs, source, ours, target))
    assert found == [(LEAK, "same_features_in_source", ("P03-1 (P03) = Q2-1 (Q2)",))]


def test_one_encoder_under_two_names_is_remarked_on(tmp_path):
    digests = {f"s{i}": f"d{i}" for i in range(10)}
    assert not list(audit_encoders({"one": digests, "two": {name: f"x{d}" for name, d in digests.items()}}))
    (found,) = audit_encoders({"one": digests, "two": dict(digests)})
    assert (found.level, found.kind, found.count) == (WARNING, "same_features_of_encoders", 10)


def test_an_index_without_digests_is_said(tmp_path):
    (tmp_path / "old.tsv").write_text("slide_id\tpatient\tpath\nP00-1\tP00\tx\n")
    assert [found[:2] for found in audited(cohort(), indexes={"e": str(tmp_path / "old.tsv")})] == [
        (WARNING, "no_content")
    ]


def matrix(folder: Path, values: np.ndarray, rows_a_group: int = 40) -> str:
    """``values`` [gene, patient] in the store, several groups of rows."""
    path = folder / "rna.parquet"
    with ExpressionWriter(path, PATIENTS) as writer:
        writer.rows_a_group = rows_a_group
        for start in range(0, len(values), 10):
            names = [f"G{row}" for row in range(start, min(start + 10, len(values)))]
            writer.add(names, names, values[start : start + 10])
        writer.finish({}, {})
    return str(path)


def expression(seed: int = 0, genes: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(0, 2, (genes, N)).astype(np.float32)


def test_the_same_expression_under_two_patients_is_a_leak(tmp_path):
    values, frame = expression(), cohort()
    assert audited(frame, matrix=matrix(tmp_path, values)) == []
    values[:, 5] = values[:, 8]
    assert audited(frame, matrix=matrix(tmp_path, values)) == [(LEAK, "same_expression", ("P05 = P08",))]
    values[:, 5] *= np.float32(1 + 1e-5)
    assert audited(frame, matrix=matrix(tmp_path, values)) == [(WARNING, "similar_expression", ("P05 = P08",))]


def test_patients_without_a_measured_gene_are_not_the_same(tmp_path):
    values = expression()
    values[:, 5:8] = np.nan
    values[:, 10:12] = 0
    values[3, 20] = np.nan
    assert audited(cohort(), matrix=matrix(tmp_path, values)) == []
    values[:, 30] = values[:, 20]  # an unmeasured value is no difference
    assert audited(cohort(), matrix=matrix(tmp_path, values)) == [(LEAK, "same_expression", ("P20 = P30",))]


def test_chance_gives_no_near_pair():
    assert near_pairs(np.random.default_rng(0).standard_normal((3000, 8))) == []
    low_rank = np.random.default_rng(1).standard_normal((3000, 3)) @ np.random.default_rng(2).standard_normal((3, 8))
    assert near_pairs(low_rank) == []
    assert near_pairs(np.ones((5, 8))) == []


def test_inputs_without_a_digest_are_passed_over():
    inputs = [Input("a", "A", ""), Input("b", "B", ""), Input("c", "C", "1")]
    assert not list(audit_duplicates("features", "features", inputs, "fix"))


# Single genes and columns that tell everything.


def test_a_gene_that_tells_the_class_event_or_time_is_warned_of(tmp_path):
    frame, values = cohort(), expression()
    values[41] = (frame["label"] == "a") + np.random.default_rng(3).random(N) * 0.9
    values[55] = 2.0 - frame["event"]
    values[77] = 1000 - frame["time_days"]
    found = audited(frame, matrix=matrix(tmp_path, values))
    assert set(found) == {
        (WARNING, "gene_tells_label", ("G41",)),
        (WARNING, "gene_tells_event", ("G55",)),
        (WARNING, "gene_tells_time", ("G77",)),
    }


def test_columns_that_copy_what_is_predicted_are_warned_of():
    frame = cohort()
    frame = frame.assign(
        code=[{"a": "x", "b": "y"}[label] for label in frame["label"]],
        status=frame["event"].map({1.0: "dead", 0.0: "alive"}).where(frame.index != 3, ""),
        months=(frame["time_days"] / 30.4).astype(str),
        stage=["I" if label == "a" else "" for label in frame["label"]],
    )
    with_copies = ["age", "sex", "code", "status", "months", "stage", "absent"]
    found = {kind: examples for _, kind, examples in said(audit_columns(frame, with_copies))}
    assert found == {
        "column_tells_label": ("code", "stage (whether it is known)"),
        "column_tells_event": ("status",),
        "column_tells_time": ("months",),
    }
    assert said(audit_columns(frame, ["age", "sex"])) == []


def test_a_status_needs_twenty_on_both_sides():
    frame = cohort(event=[1.0, 0.0, 0.0] * 20)
    frame["status"] = frame["event"].map({1.0: "dead", 0.0: "alive"})
    assert said(audit_columns(frame, ["status"])) == [(WARNING, "column_tells_event", ("status",))]
    few = frame.assign(event=[1.0] * 19 + [0.0] * 41)
    assert said(audit_columns(few.assign(status=few["event"]), ["status"])) == []


def test_names_and_ordinary_columns_are_not_cried_over():
    frame = cohort()
    frame["case"] = [f"case {i}" for i in range(N)]  # every value its own: no category
    frame["stage"] = np.random.default_rng(0).choice(["I", "II", "III"], N)
    assert said(audit_columns(frame, ["case", "stage", "age", "sex"])) == []


def test_one_exception_or_a_tie_is_enough_to_stay_silent():
    frame = cohort()
    copy = (frame["label"] == "a").to_numpy(float)
    inside, known = copy == 1, np.ones(N, bool)
    assert separating(copy[None], inside, known).all()
    wrong = copy.copy()
    wrong[0] = 0
    assert not separating(wrong[None], inside, known).any()
    wrong[0] = np.nan  # unknown is no exception
    assert separating(wrong[None], inside, known).all()
    targets, times = Targets.of(frame), frame["time_days"].to_numpy()
    assert ordering(np.stack([times, -times, np.log(times)]), targets).all()
    tied = np.round(times / 2)
    assert not ordering(tied[None], targets).any()


def test_columns_that_follow_events_alone_are_seen():
    """What is after the event is censored: its order among the censored does not matter."""
    frame = cohort()
    values = frame["time_days"].where(frame["event"] == 1, frame["time_days"] + 100).to_numpy()
    assert ordering(values[None], Targets.of(frame)).all()


# Gene lists.

FOLDS = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def test_a_list_without_a_record_is_of_unknown_origin(tmp_path):
    path = tmp_path / "census.csv"
    path.write_text("Gene Symbol,Tier\nTP53,1\n")
    (found,), (line,) = audit_list(path, FOLDS)
    assert (found.level, found.kind) == (WARNING, "gene_list_origin")
    assert "origin is unknown" in found.text
    assert "census.csv.json" in found.text
    assert (line.what, line.patients, line.of_evaluation) == ("gene list census.csv", -1, -1)
    Path(f"{path}.json").write_text("[]")
    assert audit_list(path, FOLDS)[0] == [found]


@pytest.mark.parametrize("own", [True, False])
def test_a_list_that_evaluation_labels_chose_by_record_is_a_leak(tmp_path, own):
    path = tmp_path / "genes" / "fold0.tsv"  # such as a gene manifest of another run
    path.parent.mkdir()
    record = path.with_suffix(".json") if own else Path(f"{path}.json")
    record.write_text(json.dumps({"label_patients": ["A", "B"], "outcome_patients": []}))
    found, lines = audit_list(path, FOLDS)
    assert [(one.level, one.kind, one.fold, one.count) for one in found] == [(LEAK, "gene_list_labels", 1, 2)]
    assert [(line.fold, line.patients, line.of_evaluation) for line in lines] == [(0, 2, 0), (1, 2, 2)]
    record.write_text(json.dumps({"label_patients": [], "outcome_patients": ["C"]}))
    found, _ = audit_list(path, FOLDS)
    assert [(one.kind, one.fold, one.examples) for one in found] == [("gene_list_labels", 0, ("C",))]
    record.write_text(json.dumps({"label_patients": []}))
    assert audit_list(path, FOLDS)[0] == []


@pytest.mark.parametrize("recorded", ["TCGA-A1-A0SD", "TCGA-A1-A0SD-01", "TCGA-A1-A0SD-01A-11R-A115-07"])
@pytest.mark.parametrize("evaluated", ["TCGA-A1-A0SD", "TCGA-A1-A0SD-01"])
def test_samples_of_evaluation_patients_that_chose_a_list_are_a_leak(tmp_path, recorded, evaluated):
    path = tmp_path / "genes.csv"
    Path(f"{path}.json").write_text(json.dumps({"label_patients": ["TCGA-A1-A0SB-01", recorded]}))
    (found,), (line,) = audit_list(path, [Fold(("TCGA-A1-A0SB",), (evaluated,))])
    assert (found.kind, found.count, found.examples) == ("gene_list_labels", 1, (evaluated,))
    assert (line.patients, line.of_evaluation) == (2, 1)


def test_recorded_patients_whom_no_fold_names_are_warned_of(tmp_path):
    path = tmp_path / "genes.csv"
    Path(f"{path}.json").write_text(json.dumps({"label_patients": ["A", "B", "x"], "outcome_patients": ["y", "u"]}))
    (found,), _ = audit_list(path, [Fold(("A", "B"), ("C",), unused=("u",))])
    assert (found.level, found.kind, found.count, found.examples) == (WARNING, "gene_list_origin", 2, ("x", "y"))
    assert "2 of 5 patients whose labels or outcomes chose gene list genes.csv are in no fold (e.g. x)" in found.text
