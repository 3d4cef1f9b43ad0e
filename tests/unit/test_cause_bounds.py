"""The dead of unknown cause: predicted by the fold's own models, and what they could change of the C-index."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labelled_cohort import Store
from mirrorflow.cohorts import endpoint
from mirrorflow.errors import InputError
from mirrorflow.evaluation.cause_bounds import FoldDeaths, cause_bounds
from mirrorflow.learners.inputs.vectors import NoInputs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.saved import load_trained
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.make_cause_bounds import Inputs as TableInputs
from mirrorflow.steps.results.make_cause_bounds import make_cause_bounds
from mirrorflow.steps.training.predict_unknown_causes import Inputs, Outputs, Params, run
from mirrorflow.store.tables import read_fold, read_numbers, write_cohort, write_sheet

UNKNOWN = ["P01", "P10", "P20"]


def deaths(rows: list[tuple[float, float, int, int]], unknown: list[tuple[float, float]], seed: int = 1) -> FoldDeaths:
    """rows: risk, days, event, death of any cause; unknown: risk, days."""
    known = pd.DataFrame(rows, columns=["risk", "time_days", "event", endpoint.EVENT])
    known = known.assign(seed=seed, any_cause_days=known["time_days"])
    return FoldDeaths(known, pd.DataFrame(unknown, columns=["risk", "any_cause_days"]).assign(seed=seed))


def test_bounds_by_hand() -> None:
    """Evaluated: death of the disease at 10, of another cause at 20, alive at 30; one unknown death at 15."""
    fold = deaths([(2, 10, 1, 1), (1, 20, 0, 1), (3, 30, 0, 0)], [(2.5, 15)])
    found = cause_bounds([fold])
    # as reported: the death at 10 (risk 2) before 20 (risk 1, right) and 30 (risk 3, wrong)
    assert found["reported"] == pytest.approx(1 / 2)
    # none: the unknown one outlives the death at 10 with a higher risk (wrong)
    assert found["none"] == pytest.approx(1 / 3)
    # all: the unknown one at 15 (2.5) before 20 (1, right) and 30 (3, wrong)
    assert found["all"] == pytest.approx(2 / 5)
    # any cause: the death at 20 (1) before 30 (3), wrong
    assert found["any_cause"] == pytest.approx(2 / 6)
    assert (found["n"], found["events"], found["unknown"]) == (3, 1, 1)


def test_seeds_are_averaged_and_folds_without_an_event_left_out() -> None:
    one, two = deaths([(2, 1, 1, 1), (1, 2, 0, 0)], [], 1), deaths([(1, 1, 1, 1), (2, 2, 0, 0)], [], 2)
    both = FoldDeaths(pd.concat([one.known, two.known]), pd.concat([one.unknown, two.unknown]))
    empty = deaths([(2, 1, 0, 0), (1, 2, 0, 0)], [(5, 1.5)])
    found = cause_bounds([both, empty])
    assert (found["reported"], found["unknown"], found["n"]) == (0.5, 1, 4)
    assert found["all"] == pytest.approx((0.5 + 1) / 2)
    assert found["reported_by_fold"] == "0.5000 nan"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with three dead of unknown cause, survival predicted by a classical method and a network."""
    store = Store(tmp_path_factory.mktemp("causes"))
    frame = store.frame
    unknown = frame["patient"].isin(UNKNOWN)
    frame[endpoint.DAYS], frame[endpoint.EVENT] = frame["time_days"], frame["event"].where(~unknown, 1.0)
    frame.loc[frame["event"] == 0, endpoint.EVENT] = 1.0  # of another cause
    frame.loc[unknown, ["time_days", "event"]] = np.nan
    write_cohort(store.folder / "cohort.parquet", frame, ["a", "b", "c"], "DSS")
    results = store.folder / "results" / "mine"
    for family, encoder in (("survpath", "uni"), ("majority", "none")):
        place = ModelPlace(str(results), "brca", encoder, family)
        plan = store.plan(family, saved=place, tasks=["survival"], shots=[])
        folder = results / "predictions" / "honest" / "brca" / encoder / family
        inputs = store.inputs(gene_sets=str(store.folder / "sets.csv")) if family == "survpath" else NoInputs()
        predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test")
    index = results / "features" / "brca" / "uni.tsv"
    index.parent.mkdir(parents=True)
    index.write_bytes((store.folder / "index.tsv").read_bytes())
    return store.folder


def inputs_of(folder: Path) -> Inputs:
    results = folder / "results" / "mine"
    return Inputs(
        cohort=folder / "cohort.parquet",
        splits=[folder / f"splits_{fold}.csv" for fold in range(2)],
        manifests=sorted((results / "predictions").rglob("manifest.json")),
        indexes=[results / "features" / "brca" / "uni.tsv"],
        expression=folder / "rna.parquet",
        embeddings=[],
    )


def predicted(folder: Path) -> Path:
    sheet = folder / "results" / "mine" / "unknown_causes" / "honest" / "brca.tsv"
    run(inputs_of(folder), Outputs(sheet), Params({"unit": "patient", "probe_features": "frozen"}), Job("test"))
    return sheet


def test_each_is_predicted_by_the_fold_that_evaluates_it(made: Path) -> None:
    rows = read_numbers(predicted(made), ["seed", "fold", "risk"])
    evaluated = {name: fold for fold in range(2) for name in read_fold(made / f"splits_{fold}.csv").val}
    networks = rows[rows["method"] == "survpath"]
    assert sorted(networks["patient"]) == UNKNOWN
    assert all(evaluated[one.patient] == one.fold for one in rows.itertuples())
    assert networks["risk"].nunique() == 3
    assert set(rows["method"]) == {"majority", "survpath"}


def test_the_table_has_what_was_reported_and_the_bounds(made: Path) -> None:
    sheet, stem = predicted(made), made / "results" / "mine" / "tables" / "cause_bounds"
    results, names = made / "results.csv", made / "names.tsv"
    write_sheet(results, pd.DataFrame({"protocol": ["honest"], "cohort": ["brca"]}))
    names.write_text("kind\tname\tpublished\ttitle\ncohort\tbrca\tB\tB\n")
    inputs = TableInputs([sheet], inputs_of(made).manifests, [made / "cohort.parquet"], results)
    make_cause_bounds(inputs, {"brca": made / "cohort.parquet"}, names, {"brca": "B (DSS, cause-specific)"}, stem)
    table = pd.read_csv(f"{stem}.csv")
    assert table["unknown"].tolist() == [3, 3]
    assert table["n"].tolist() == [27, 27]
    constant = table[table["method"] == "majority"].iloc[0]
    assert (constant["reported"], constant["none"], constant["all"], constant["any_cause"]) == (0.5, 0.5, 0.5, 0.5)
    network = table[table["method"] == "survpath"].iloc[0]
    assert len({network["reported"], network["none"], network["all"], network["any_cause"]}) == 4
    assert "B (DSS, cause-specific)" in Path(f"{stem}.md").read_text()
    write_sheet(results, pd.DataFrame({"protocol": ["paper"], "cohort": ["brca"]}))
    make_cause_bounds(inputs, {"brca": made / "cohort.parquet"}, names, {}, stem)
    assert pd.read_csv(f"{stem}.csv").empty  # withheld there, withheld here


def test_a_model_that_is_another_is_refused(made: Path) -> None:
    manifest = next(path for path in inputs_of(made).manifests if "survpath" in str(path))
    whole = manifest.read_text()
    record = json.loads(whole)
    folder = next(iter(record["models"]))
    assert load_trained(Path(folder))
    manifest.write_text(json.dumps(record | {"models": {folder: "another"}}))
    try:
        with pytest.raises(InputError, match=r"not the model that .*manifest\.json names; delete that manifest"):
            predicted(made)
    finally:
        manifest.write_text(whole)
