"""How a run's training matrix was read: from the run itself, else from a store, else said to be unknown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finished_run import finished_run
from mirrorflow.errors import InputError
from mirrorflow.reuse.request import Request, chosen
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.reuse.training_matrix import TrainingMatrix, training_matrix
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.steps.reuse.new_inputs import Given
from mirrorflow.steps.reuse.predict_patients import predict_given
from mirrorflow.store.expression import read_expression


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, _ = finished_run(tmp_path_factory.mktemp("run"), ["cox"])
    return run.folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> FinishedRun:
    shutil.copy(made.parent / "rna.parquet", tmp_path)
    return FinishedRun(Path(shutil.copytree(made, tmp_path / "results/mine")))


def in_store(run: FinishedRun, source: str, **settings: str) -> Path:
    path = run.folder.parents[1] / f"store/expression/{source}/brca.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    settings = {"orientation": "genes_by_samples", "sample_ids": "patient", **settings}
    Path(f"{path}.json").write_text(json.dumps({"settings": settings | {"matrix": source}}))
    return path


def read(run: FinishedRun) -> TrainingMatrix:
    return training_matrix(run, chosen(run, Request(methods=("cox",))))


def plan(run: FinishedRun, source: str, **rna: str | None) -> None:
    (place,) = run.manifests
    (place.folder / "plan.json").write_text(
        json.dumps({"cohort": {"expression": source}, "rna": {"clip": None, **rna}})
    )


def test_the_run_itself_says_it_whatever_else_the_store_has(run: FinishedRun) -> None:
    mine = in_store(run, "counts", transform="log2_cpm")
    in_store(run, "another")
    plan(run, "counts", orientation="samples_by_genes", sample_ids="patient", transform="log2_cpm")
    found = read(run)
    assert found.settings == {"orientation": "samples_by_genes", "sample_ids": "patient", "transform": "log2_cpm"}
    assert (found.source, found.file, found.note) == ("counts", mine, "")
    shutil.rmtree(mine.parents[2])
    assert read(run).settings["transform"] == "log2_cpm"  # a copied run has no store
    assert read(run).file is None


def test_a_run_without_a_plan_takes_the_stores_word_where_it_is_one(run: FinishedRun) -> None:
    mine = in_store(run, "counts", transform="log2_cpm")
    found = read(run)
    assert found.settings["transform"] == "log2_cpm"
    assert found.file == mine
    assert "is taken from the store" in found.note
    in_store(run, "another")
    with pytest.raises(InputError, match="does not say which matrix it was trained on, and the store has several"):
        read(run)


def test_the_store_beside_the_run_counts_not_that_of_the_project_one_stands_in(
    run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both projects have a relative `store` with the same cohort, encoder and slides."""
    mine = in_store(run, "counts", transform="log2_cpm")
    other = FinishedRun(tmp_path / "elsewhere/results/mine")
    theirs = in_store(other, "counts")
    slide = Path("store/features/brca/256px-20x/uni/s1.h5")
    for project in (run.folder.parents[1], other.folder.parents[1]):
        (project / slide).parent.mkdir(parents=True)
        (project / slide).touch()
    index = run.folder / "features/brca/uni.tsv"
    index.write_text(f"slide_id\tpatient\tpath\ns1\tP00\t{slide}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    features = run.features("brca", "uni")
    assert features is not None
    assert features["path"].tolist() == [str(run.folder.parents[1] / slide)]
    assert (read(run).settings["transform"], read(run).file) == ("log2_cpm", mine)
    plan(run, "counts", transform="log2_cpm")
    assert read(run).file == mine
    (run.folder.parents[1] / slide).unlink()
    mine.unlink()
    assert run.found(str(slide)) == slide  # only then as the path says, from where one stands
    found = read(run).file
    assert found is not None
    assert found.resolve() == theirs


def test_what_nobody_says_is_in_about(run: FinishedRun, made: Path, tmp_path: Path) -> None:
    values = read_expression(made.parent / "rna.parquet", patients=["P20", "P21"])
    table = pd.DataFrame(values.values.T, index=pd.Index(values.ids, name="id"), columns=["N1", "N2"])
    table.to_csv(tmp_path / "rna.tsv", sep="\t")
    given = Given(tmp_path / "work", expression=tmp_path / "rna.tsv")
    predict_given(run, given, Request(methods=("cox",)), tmp_path / "out", 1)
    assert "How the training matrix was read is not known" in (tmp_path / "out/about.md").read_text()


def test_scale_is_judged_by_the_whole_matrix_where_the_store_has_it(run: FinishedRun, tmp_path: Path) -> None:
    """Three genes of a model tell little; the others of its training matrix tell the rest."""
    rng = np.random.default_rng(0)
    known = read_expression(run.folder.parents[1] / "rna.parquet")
    patients, ids = known.patients, [*known.ids, *(f"g{i}" for i in range(600))]
    others = rng.uniform(-9, 8, 600) + rng.normal(size=(len(patients), 600))
    values = np.concatenate([known.values, others], axis=1).T
    settings = {"orientation": "genes_by_samples", "sample_ids": "patient"}
    target = run.folder.parents[1] / "store/expression/counts/brca.parquet"
    table = pd.DataFrame(values, index=pd.Index(ids, name="id"), columns=patients)
    table.to_csv(tmp_path / "all.tsv", sep="\t")
    target.parent.mkdir(parents=True)
    convert_expression(tmp_path / "all.tsv", target, settings)
    plan(run, "counts", **settings)

    new = table[["P20", "P21", "P22"]].set_axis(["N1", "N2", "N3"], axis=1)
    of_model = np.arange(len(ids)) < len(known.ids)
    new = new.assign(N2=np.where(of_model, new["N1"], np.exp2(new["N1"])))
    new.to_csv(tmp_path / "rna.tsv", sep="\t")
    asked = Given(tmp_path / "work", expression=tmp_path / "rna.tsv")
    made, _ = predict_given(run, asked, Request(methods=("cox",)), tmp_path / "out", 1)
    assert set(made.tables["survival"]["patient"]) == {"N1", "N3"}
    (row,) = made.left_out.to_dict("records")
    assert row["unit"] == "N2"
    assert row["reason"].startswith("expression on another scale: genes")
    (check,) = [one for one in made.checks if one.what == "scale (whole matrix)"]
    assert check.verdict == "differs"
    assert "on another scale: N2 (1)" in check.new

    everyone = np.exp2(table[["P20", "P21", "P22"]].set_axis(["N1", "N2", "N3"], axis=1))
    everyone.to_csv(tmp_path / "rna.tsv", sep="\t")
    with pytest.raises(InputError, match="nothing could be predicted of anyone: expression on another scale"):
        predict_given(run, asked, Request(methods=("cox",)), tmp_path / "out", 1)
