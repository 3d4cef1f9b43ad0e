"""`mirrorflow predict` on the tiny run: every method, of new patients and of the run's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mirrorflow
from mirrorflow.reuse import predict as predicting
from mirrorflow.reuse.patients import NewPatients, features_of, new_patients
from mirrorflow.reuse.predict import predict_patients
from mirrorflow.reuse.request import Request
from mirrorflow.reuse.run_folder import FinishedRun, open_run
from mirrorflow.store.expression import read_expression

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def run(tiny: Path) -> FinishedRun:
    return open_run(tiny / "results/tiny")


def everyone(tiny: Path, run: FinishedRun) -> NewPatients:
    cohort, _ = run.cohort("tiny")
    index = run.features("tiny", "resnet50-random")
    assert index is not None
    found = features_of(tiny / "store/features/tiny/256px-20x/resnet50-random", index[["slide_id", "patient"]])
    expression = read_expression(tiny / "store/expression/tiny/tiny.parquet")
    return new_patients(found.slides, found.files, expression, cohort.drop(columns="slide_ids"))


@pytest.mark.usefixtures("threads_of_a_small_job")
@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_whom_nobody_recognises_gets_what_each_model_says(
    tiny: Path, run: FinishedRun, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluated patients as if they were new: each fold's model says of them what it said in the run, to 1e-6."""
    monkeypatch.setattr(predicting, "known_patients", lambda *_: {})
    made = predict_patients(run, everyone(tiny, run), Request(protocol=protocol))
    compared = 0
    for place in (one for one in run.manifests if one.protocol == protocol):
        for stored in run.out_of_fold(place, "subtyping"):
            rows, fold = made.tables["subtyping_folds"], stored.rows["fold"].iloc[0]
            mine = rows[(rows["method"] == place.method) & (rows["fold"] == fold)]
            both = stored.rows.merge(mine, on=["patient", "slide_id"], suffixes=("", "_new"), validate="1:1")
            assert len(both) == len(stored.rows) > 0
            columns = stored.probability_columns
            again = both[[f"{name}_new" for name in columns]].to_numpy()
            np.testing.assert_allclose(again, both[columns], atol=1e-6, rtol=0, err_msg=str(place))
            compared += 1
        for stored in run.out_of_fold(place, "survival"):
            rows, fold = made.tables["survival_folds"], stored.rows["fold"].iloc[0]
            mine = rows[(rows["method"] == place.method) & (rows["fold"] == fold)]
            both = stored.rows.merge(mine, on=["patient", "slide_id"], suffixes=("", "_new"), validate="1:1")
            rank = 100 * (both["risk"].round(6).rank() - 0.5) / len(both)
            assert len(both) == len(stored.rows)
            assert np.abs(both["risk_percentile"] - rank).max() <= 100 / len(both)
            compared += 1
    assert compared >= 38


def test_the_runs_own_patients_get_their_out_of_fold_values(tiny: Path, run: FinishedRun) -> None:
    made = predict_patients(run, everyone(tiny, run), Request())
    for task in ("subtyping", "survival"):
        rows = made.tables[f"{task}_folds"]
        evaluated = rows[rows["of_run"] != ""]
        for place in (one for one in run.manifests if one.protocol == "honest"):
            stored = (
                pd.concat(one.rows for one in run.out_of_fold(place, task)) if run.out_of_fold(place, task) else None
            )
            mine = evaluated[evaluated["method"] == place.method]
            assert stored is None or set(stored["patient"]) <= set(mine["of_run"])
            assert (mine["of_run"] == mine["patient"]).all()


@pytest.mark.usefixtures("threads_of_a_small_job")
@pytest.mark.parametrize("method", ["mirror", "tangle"])
def test_a_pretrained_method_embeds_and_predicts_from_python(tiny: Path, run: FinishedRun, method: str) -> None:
    loaded, patients = mirrorflow.load_run(run.folder), everyone(tiny, run)
    stored = loaded.predictions("subtyping", protocol="honest", method=method, encoder="resnet50-random")
    stored = stored[(stored["fold"] == 0) & (stored["setting"] == "all")].set_index("patient")
    names = stored.index.tolist()
    units = patients.units("patient").set_index("unit", drop=False).loc[names].reset_index(drop=True)
    found, expression = patients.bags(units), patients.expression
    assert expression is not None
    table = pd.DataFrame(expression.values, index=expression.patients, columns=expression.ids)
    bags = [found[number] for number in range(len(names))]
    model = loaded.model(method, 0, "subtyping", protocol="honest")
    assert model.embed(names, bags, table).shape == (len(names), 2 * 48)
    again = model.predict(names, bags=bags, expression=table)
    np.testing.assert_allclose(again, stored[again.columns], atol=1e-6)
