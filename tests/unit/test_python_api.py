"""The Python API: the page of the docs runs; importing is light; wrong input is refused by name."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

import mirrorflow
from finished_run import finished_run
from labelled_cohort import Store
from mirrorflow.errors import InputError
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.store.expression import read_expression
from mirrorflow.store.features import read_features

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python_api.md"
METHODS = ("majority", "clinical", "abmil", "linear", "cox", "survpath")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FinishedRun, Store]:
    return finished_run(tmp_path_factory.mktemp("api"), METHODS)


@pytest.fixture(scope="module")
def run(made: tuple[FinishedRun, Store]) -> Any:
    return mirrorflow.load_run(made[0].folder)


def test_the_code_of_the_page_runs(
    made: tuple[FinishedRun, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made[0].folder, tmp_path / "results/mycohort")
    (tmp_path / "features").mkdir()
    shutil.copy(made[1].folder / "P01-1.h5", tmp_path / "features")
    image = np.full((256, 256, 3), 200, np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(128, 128), photometric="rgb", resolution=(40000, 40000))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["size"] == (256, 256)
    assert names["corner"].shape == (64, 64, 3)
    assert len(names["genes"]) == 10
    assert names["findings"]["level"].tolist()[0] == "leak"
    assert 0 <= float(np.ravel(names["scores"]["balanced_accuracy"])[0]) <= 1
    assert set(names["folds"].columns) == {"fold", "side", "patient"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, mirrorflow; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)), dir(mirrorflow))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{ROOT}/workflow"}
    )
    assert done.stdout.startswith("[] ")
    for name in ("load_run", "metrics", "audit_splits", "open_slide", "select_genes"):
        assert name in done.stdout
        assert getattr(mirrorflow, name)
    assert (ROOT / "workflow/mirrorflow/py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'load_runs'"):
        _ = mirrorflow.load_runs


def test_the_version_is_that_of_the_project() -> None:
    assert f'version = "{mirrorflow.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_a_model_says_of_the_runs_patients_what_the_run_has(run: Any, made: tuple[FinishedRun, Store]) -> None:
    store = made[1]
    for method in ("abmil", "survpath", "linear"):
        stored = run.predictions("subtyping", method=method)
        stored = stored[stored["fold"] == 0].set_index("patient")
        names = stored.index.tolist()
        slides = dict(zip(store.frame["patient"], store.frame["slide_ids"], strict=True))
        bags = [
            np.concatenate([read_features(store.folder / f"{slide}.h5")[0] for slide in slides[name]]) for name in names
        ]
        values = read_expression(store.folder / "rna.parquet", patients=names)
        table = pd.DataFrame(values.values, index=names, columns=values.ids)
        model = run.model(method, 0, "subtyping")
        found = model.predict(names, bags=bags, expression=table)
        np.testing.assert_allclose(found, stored[found.columns], atol=1e-6)


def test_tables_folds_and_cohorts_are_pandas(run: Any) -> None:
    assert set(run.methods["method"]) == set(METHODS)
    assert len(run.cohorts["brca"]) == 30
    folds = run.folds()
    assert folds.groupby(["fold", "side"]).size().to_dict() == {
        (0, "train"): 10, (0, "val"): 20, (1, "train"): 20, (1, "val"): 10,
    }  # fmt: skip
    assert run.tables == {}


def test_names_of_digits_stay_names_in_tables(run: Any, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run/tables").mkdir()
    (tmp_path / "run/tables/results.csv").write_text("protocol,cohort,encoder,mean\nhonest,01,,0.5\nhonest,null,,0.6\n")
    (table,) = mirrorflow.load_run(tmp_path / "run").tables.values()
    assert table["cohort"].tolist() == ["01", "null"]
    assert table["encoder"].isna().all()
    assert table["mean"].tolist() == [0.5, 0.6]


def test_folds_of_an_earlier_config_are_not_those_of_the_run(run: Any, tmp_path: Path) -> None:
    copy = mirrorflow.load_run(shutil.copytree(run.folder, tmp_path / "copy"))
    (splits,) = copy.folder.glob("*/brca/splits")
    for number in range(2, 11):
        shutil.copy(splits / "splits_0.csv", splits / f"splits_{number}.csv")
    assert copy.folds()["fold"].unique().tolist() == list(range(11))  # nothing says which
    (splits / "summary.tsv").write_text("fold\ttrain\tval\n0\t10\t20\n1\t20\t10\n")
    pd.testing.assert_frame_equal(copy.folds(), run.folds())


def test_a_classical_model_has_no_network_and_a_network_has(run: Any) -> None:
    import torch

    assert isinstance(run.model("abmil", 0).network, torch.nn.Module)
    with pytest.raises(InputError, match="classical method"):
        _ = run.model("linear", 0).network
    with pytest.raises(InputError, match="has no pretrained network to embed with"):
        run.model("abmil", 0).embed(["a"], [np.zeros((2, 5))])
    assert run.model("clinical", 0).needs == ["age", "site"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda run: run.model("mirror", 0), "no method mirror in this run"),
        (lambda run: run.model("abmil", 7), "no model of abmil, subtyping, fold 7 .*there: fold 0 of seed 42"),
        (lambda run: run.model("cox", 0, "subtyping"), "no task 'subtyping' in this run .*there: survival"),
        (lambda run: run.predictions("grading"), "'grading'; there are subtyping, survival"),
        (lambda run: run.model("abmil", 0).predict(["a"]), "abmil needs slides"),
        (lambda run: run.model("abmil", 0).predict(["a"], bags=[]), "0 bags for 1 units"),
        (lambda run: run.model("abmil", 0).predict(["a"], bags=[np.zeros((0, 5))]), "bag of a: shape"),
        (lambda run: run.model("abmil", 0).predict(["a"], bags=[np.zeros((3, 4))]), "not as wide as those of training"),
        (
            lambda run: run.model("cox", 0).predict(["a"], expression=pd.DataFrame({"x": [1.0]}, index=["a"])),
            "3 of the model's 3 genes are not",
        ),
        (
            lambda run: run.model("cox", 0).predict(["b"], expression=pd.DataFrame({"t0": [1.0]}, index=["a"])),
            "expression has no row for b",
        ),
    ],
)
def test_wrong_input_is_refused_with_the_value_and_the_fix(call: Any, said: str, run: Any) -> None:
    with pytest.raises(InputError, match=said):
        call(run)


def test_expression_of_another_form_is_refused_by_unit_and_gene(run: Any, made: tuple[FinishedRun, Store]) -> None:
    model, names = run.model("cox", 0), ["P20", "P21"]
    found = read_expression(made[1].folder / "rna.parquet", patients=names)
    table, gene = pd.DataFrame(found.values, index=names, columns=found.ids), model.genes[0]
    model.predict(names, expression=table)
    for changed, said in (
        (table.assign(**{gene: [np.inf, 1.0]}), f"expression of P20: gene {gene} is infinite"),
        (table.assign(**{gene: ["high", "1"]}), "expression holds what is no number"),
        (pd.concat([table, table[[gene]] * 0 + 99], axis=1), f"gene {gene} is there twice; make the columns unique"),
        (pd.concat([table, table.loc[["P20"]]]), "expression has several rows for P20; keep one row a unit"),
        (table.mul([np.nan, 1.0], axis=0), "expression of P20: 100% of the model's genes have no value"),
        (table.mul([1.0, 1e6], axis=0), "expression of P21 is on another scale than the training matrix: genes are"),
    ):
        with pytest.raises(InputError, match=said):
            model.predict(names, expression=changed)
    others = table.assign(other=np.nan).rename(index={"P21": "x"})
    model.predict(["P20"], expression=others)  # what is not asked for does not matter


def test_columns_are_read_as_a_cohorts_sheet_and_a_word_for_a_number_is_refused(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model, names = run.model("clinical", 0), ["N1", "N2"]

    def table(age: list[Any]) -> pd.DataFrame:
        return pd.DataFrame({"age": age, "site": "s9", "patient": "?"}, index=names)

    numbers = model.predict(names, columns=table([61.5, 30]))
    assert "site: never seen in training: 's9' 2" in caplog.text
    pd.testing.assert_frame_equal(model.predict(names, columns=table(["61,5", "30"])), numbers)
    assert "columns: age: 1 decimal commas read as points" in caplog.text
    with pytest.raises(InputError, match=r"columns of N2: age: 'old' is no number, as training's are; correct it"):
        model.predict(names, columns=table(["61.5", "old"]))
    with pytest.raises(InputError, match="columns has no row for N3; its index names units"):
        model.predict([*names, "N3"], columns=table([61.5, 30]))
    with pytest.raises(InputError, match="columns has several rows for N1; keep one row a unit"):
        model.predict(names, columns=pd.concat([table([61.5, 30]), table([50, 50])]))


def test_genes_are_chosen_by_variance_or_by_labels() -> None:
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.normal(size=(30, 5)), index=[f"p{i}" for i in range(30)], columns=list("abcde"))
    values["c"] *= 10
    labels = {name: "xy"[number % 2] for number, name in enumerate(values.index)}
    values["e"] += [3.0 * (labels[name] == "y") for name in values.index]
    assert mirrorflow.select_genes(values, 1)["id"].tolist() == ["c"]
    assert mirrorflow.select_genes(values, 1, labels)["id"].tolist() == ["e"]
    with pytest.raises(InputError, match="n_genes: 6; the table has 5 genes"):
        mirrorflow.select_genes(values, 6)
    with pytest.raises(InputError, match="none of the patients has one"):
        mirrorflow.select_genes(values, 1, {"other": "x"})
    with pytest.raises(InputError, match="fold 0: has val; a fold has train"):
        mirrorflow.audit_splits([{"val": ["a"]}])


@pytest.mark.parametrize("unknown", [np.nan, "", "NA", "not reported", None])
def test_patients_whose_label_is_unknown_take_no_part_in_choosing_genes(unknown: Any) -> None:
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.normal(size=(30, 5)), index=[f"p{i}" for i in range(30)], columns=list("abcde"))
    values.loc["p20":, "c"] += 50
    known = {f"p{number}": number % 2 for number in range(20)}
    labels = known | {f"p{number}": unknown for number in range(20, 30)}
    chosen = mirrorflow.select_genes(values, 2, labels)
    pd.testing.assert_frame_equal(chosen, mirrorflow.select_genes(values.loc[:"p19"], 2, known))
    assert chosen["id"].iloc[0] != "c"


@pytest.mark.parametrize("unknown", [np.nan, "NA", None])
def test_sites_and_labels_that_are_unknown_are_none_to_the_auditor(unknown: Any) -> None:
    folds = [{"train": ["a", "b"], "val": ["c", "d"]}]
    sites = {"a": unknown, "b": "X", "c": unknown, "d": "Y"}
    labels = {"a": "x", "b": unknown, "c": "x", "d": unknown}
    found = mirrorflow.audit_splits(folds, sites, labels)
    bare = mirrorflow.audit_splits(folds, {"b": "X", "d": "Y"}, pd.Series({"a": "x", "c": "x"}))
    pd.testing.assert_frame_equal(found, bare)
    assert "sites" not in " ".join(found["kind"])
