"""New patients by a finished run: the very values of fold k's model, out-of-fold values, checks, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from finished_run import ALL, finished_run
from labelled_cohort import CLASSES, Store, people
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.learners.saved import load_trained
from mirrorflow.metrics.follow_up import survival_at
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import planned, write_plan
from mirrorflow.reuse.feature_checks import check_features, require_same_features
from mirrorflow.reuse.files import write_predicted
from mirrorflow.reuse.folds import Terms, add_out_of_fold, ask_models, collected, models_that_never_saw
from mirrorflow.reuse.genes import match_genes
from mirrorflow.reuse.known import known_patients
from mirrorflow.reuse.over_folds import averaged, with_classes
from mirrorflow.reuse.patients import NewPatients, features_of, new_patients
from mirrorflow.reuse.predict import Predicted, gene_checks, predict_patients
from mirrorflow.reuse.request import Request, chosen
from mirrorflow.reuse.run_folder import FinishedRun, open_run
from mirrorflow.reuse.scale import judged
from mirrorflow.reuse.site_names import named_as_in_run
from mirrorflow.reuse.survival import percentiles
from mirrorflow.reuse.training_slides import training_slides
from mirrorflow.steps.reuse import new_inputs
from mirrorflow.steps.reuse.new_inputs import Given, make_features
from mirrorflow.steps.reuse.predict_patients import predict_given
from mirrorflow.store.content import describe_content
from mirrorflow.store.expression import Expression, read_expression
from mirrorflow.store.ledger import write_rows
from mirrorflow.store.tables import write_cohort, write_sheet

HELD_BACK = {"P20", "P21", "P24", "P27"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[FinishedRun, Store]:
    """A run that has never seen the patients that are held back."""
    return finished_run(tmp_path_factory.mktemp("ours"), without=HELD_BACK)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The same run with them among the evaluated patients of fold 0."""
    return finished_run(tmp_path_factory.mktemp("theirs"))[0]


def held_back(store: Store, names: set[str] = HELD_BACK, **changes: Any) -> NewPatients:
    frame = people()
    slides = frame[frame["patient"].isin(names)].explode("slide_ids").rename(columns={"slide_ids": "slide_id"})
    found = features_of(store.folder, slides[["slide_id", "patient"]].reset_index(drop=True))
    expression = read_expression(store.folder / "rna.parquet", patients=sorted(names))
    sheet = frame[frame["patient"].isin(names)][["patient", "age", "site"]]
    given = {"slides": found.slides, "files": found.files, "expression": expression, "sheet": sheet} | changes
    return new_patients(**given)


def place_in(run: FinishedRun, method: str) -> PredictionsManifest:
    return next(one for one in run.manifests if one.method == method)


@pytest.fixture(scope="module")
def predicted(ours: tuple[FinishedRun, Store]) -> Predicted:
    return predict_patients(ours[0], held_back(ours[1]), Request(days=(200.0, 400.0, 1e6)))


def test_methods_that_the_config_has_dropped_are_not_asked(ours: tuple[FinishedRun, Store]) -> None:
    run = ours[0]
    one = run.of([place_in(run, "linear").path])
    assert [place.method for place in one.manifests] == ["linear"]
    assert len(run.manifests) == len(ALL)
    made = predict_patients(one, held_back(ours[1]), Request())
    assert set(made.tables["subtyping_folds"]["method"]) == {"linear"}


@pytest.mark.parametrize("method", ALL)
def test_held_back_patients_get_what_the_folds_model_gives_them(
    method: str, predicted: Predicted, theirs: FinishedRun, ours: tuple[FinishedRun, Store]
) -> None:
    place = place_in(theirs, method)
    tasks = ["survival"] if method == "cox" else ["subtyping", "survival"]
    for task in tasks:
        (stored,) = [one.rows for one in theirs.out_of_fold(place, task) if one.rows["fold"].iloc[0] == 0]
        stored = stored[stored["patient"].isin(HELD_BACK)].sort_values("patient", ignore_index=True)
        rows = predicted.tables[f"{task}_folds"]
        mine = rows[(rows["method"] == method) & (rows["fold"] == 0)].sort_values("patient", ignore_index=True)
        assert mine["patient"].tolist() == stored["patient"].tolist() == sorted(HELD_BACK)
        if task == "subtyping":
            columns = [name for name in stored if str(name).startswith("prob_")]
            np.testing.assert_allclose(mine[columns], stored[columns], atol=1e-6, rtol=0)
        else:
            held_out = next(
                one.rows["risk"].to_numpy()
                for one in ours[0].out_of_fold(place_in(ours[0], method), task)
                if one.rows["fold"].iloc[0] == 0
            )
            wanted = percentiles(stored["risk"].to_numpy(), held_out)
            np.testing.assert_allclose(mine["risk_percentile"], wanted, atol=1e-6, rtol=0)


def test_survival_at_a_day_is_the_curve_of_the_folds_model(predicted: Predicted, theirs: FinishedRun) -> None:
    place = place_in(theirs, "linear")
    (stored,) = [one.rows for one in theirs.out_of_fold(place, "survival") if one.rows["fold"].iloc[0] == 0]
    stored = stored[stored["patient"].isin(HELD_BACK)].sort_values("patient")
    config = load_trained(theirs.models(place, "survival")[0].folder).config
    curves, starts = stored.filter(like="surv_").to_numpy(float), np.array(config["bin_edges_days"])
    wanted = survival_at(np.array([200.0]), curves, starts, config["bin_ends_days"][-1])[:, 0]
    rows = predicted.tables["survival_folds"]
    mine = rows[(rows["method"] == "linear") & (rows["fold"] == 0)].sort_values("patient")
    if mine["survival_200d"].notna().all():
        np.testing.assert_allclose(mine["survival_200d"], wanted, atol=1e-6)
    horizons = predicted.tables["horizons"]
    assert horizons[horizons["day"] == 1e6]["left_out_because"].str.startswith("beyond tau_days").all()
    assert mine["survival_1e+06d"].isna().all()


def test_no_raw_risk_is_in_any_table_and_the_spread_is_called_one(predicted: Predicted) -> None:
    for name, table in predicted.tables.items():
        assert "risk" not in table, name
    averaged = predicted.tables["survival"]
    assert {"risk_percentile", "risk_percentile_spread", "risk_group"} <= set(averaged)
    assert averaged["folds"].unique().tolist() == [2]
    both = predicted.tables["survival_folds"]
    one = both[(both["method"] == "abmil") & (both["patient"] == "P20")]["risk_percentile"]
    row = averaged[(averaged["method"] == "abmil") & (averaged["patient"] == "P20")].iloc[0]
    assert row["risk_percentile"] == pytest.approx(one.mean())
    assert row["risk_percentile_spread"] == pytest.approx(one.std(ddof=1))
    assert any("no confidence interval" in note for note in predicted.notes)


def test_a_patient_of_the_run_gets_the_out_of_fold_value_alone(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    run, store = ours
    for slide in ("P00-1", "P00-2"):
        shutil.copy(store.folder / f"{slide}.h5", tmp_path / f"other{slide}.h5")
    shutil.copy(store.folder / "P20-1.h5", tmp_path / "P20-1.h5")
    found = features_of(tmp_path, None)
    made = predict_patients(run, new_patients(found.slides, found.files, None, None), Request(methods=("abmil",)))
    rows = made.tables["subtyping_folds"].set_index("patient")
    assert rows.loc["otherP00-1", "of_run"] == rows.loc["otherP00-2", "of_run"] == "P00"
    assert rows.loc["otherP00-1", "fold"] == 1  # the one that did not train on it
    place = place_in(run, "abmil")
    stored = pd.concat(one.rows for one in run.out_of_fold(place, "subtyping"))
    wanted = stored[stored["patient"] == "P00"].filter(like="prob_").to_numpy()[0]
    np.testing.assert_array_equal(rows.loc["otherP00-1"].filter(like="prob_").to_numpy(float), wanted)
    assert set(rows.loc["P20-1", "fold"]) == {0, 1}
    assert set(rows.loc["P20-1", "of_run"]) == {""}
    said = made.tables["subtyping"].set_index("patient")
    assert said.loc["otherP00-1", "class_set"] == ""
    assert any("out" not in note and "P00" in note for note in made.notes)


def test_stored_values_of_a_model_that_was_trained_on_the_patient_are_none_of_its(
    ours: tuple[FinishedRun, Store],
) -> None:
    """Published folds may share patients, who are evaluated all the same."""
    run, _ = ours
    found = collected(run, place_in(run, "linear"), "subtyping")
    assert found is not None
    patient = found.folds[0].val[0]
    assert add_out_of_fold(found, {"new": patient}, ()) == {}
    assert {fold for part in found.rows for fold in part["fold"]} == {0}
    found.rows.clear()
    found.folds[0] = replace(found.folds[0], train=(*found.folds[0].train, patient))
    assert add_out_of_fold(found, {"new": patient}, ()) == {"new": patient}
    assert found.rows == []


def test_a_patient_whom_nobody_evaluated_is_asked_of_models_that_did_not_train_on_it(
    ours: tuple[FinishedRun, Store],
) -> None:
    run, _ = ours
    place = place_in(run, "linear")
    found = collected(run, place, "subtyping")
    assert found is not None
    assert [saved.config["fold"] for saved in models_that_never_saw(found, "P00")] == [1]
    assert [saved.config["fold"] for saved in models_that_never_saw(found, "nobody")] == [0, 1]


def test_a_model_that_another_protocol_trained_anew_is_refused(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    """Protocols share models: the manifest of the second, which was not run again, names the model before."""
    run, _ = ours
    copy = FinishedRun(shutil.copytree(run.folder, tmp_path / "run"))
    place = place_in(copy, "linear")
    record = json.loads(place.path.read_text())
    (one,) = [path for path in record["models"] if path.endswith("subtyping/all/seed42/fold1")]
    place.path.write_text(json.dumps(record | {"models": record["models"] | {one: "0123456789abcdef"}}))
    copy = FinishedRun(copy.folder)
    said = r"fold1: trained anew since .*manifest.json was written.*config that has method linear under protocol honest"
    with pytest.raises(InputError, match=said):
        collected(copy, place_in(copy, "linear"), "subtyping")
    assert collected(copy, place_in(copy, "linear"), "survival") is not None
    assert collected(copy, place_in(copy, "abmil"), "subtyping") is not None


def test_models_of_folds_that_were_made_anew_are_refused(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    run, _ = ours
    copy = FinishedRun(shutil.copytree(run.folder, tmp_path / "run"))
    place = place_in(copy, "linear")
    assert collected(copy, place, "subtyping") is not None
    first, second = sorted(copy.folder.glob("*/brca/splits/splits_*.csv"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(InputError, match=r"fold0: trained on another fold than .*splits_0\.csv has now"):
        collected(copy, place, "subtyping")


def test_patients_of_an_adapted_pairs_source_are_patients_of_the_run(
    ours: tuple[FinishedRun, Store], tmp_path: Path
) -> None:
    """They are asked of the folds whose encoders were not pretrained on them."""
    run, store = ours
    copy = FinishedRun(shutil.copytree(run.folder, tmp_path / "run"))
    source = pd.DataFrame({"patient": ["S1", "S2", "S3"], "label": "", "time_days": np.nan, "event": np.nan})
    source = source.assign(site="", slide_ids=[["x"], ["y"], ["z"]])
    write_cohort(copy.folder / "cohort/other.parquet", source, [])
    row = {"slide_id": "x", "patient": "S1", "path": "gone.h5", "status": "ok", "dim": "5"}
    content = describe_content(store.folder / "P20-1.h5").digest
    write_sheet(copy.folder / "features/other/uni.tsv", pd.DataFrame([row | {"content": content}]))
    place = place_in(copy, "linear")
    scope = load_trained(copy.models(place, "subtyping")[0].folder).config["model_scope"]
    for number, train in enumerate((["S1"], ["S2"])):
        sheet = pd.DataFrame({"train": train, "val": ["S3"]})
        write_sheet(copy.folder / scope / f"other/splits/splits_{number}.csv", sheet)
    pair = "brca--from--other"
    slides = pd.DataFrame({"slide_id": ["P20-1"], "patient": ["new"]})
    asked = new_patients(slides, {"P20-1": store.folder / "P20-1.h5"}, None, None)
    known = known_patients(asked, copy.everyone(pair), copy.all_features(pair, "uni"))
    assert known == {"new": "S1"}  # by the content of its slide
    assert copy.source_fold(scope, pair, 1) == Fold(("S2",), ("S3",))
    assert copy.source_fold(scope, "brca", 1) is None
    found = collected(copy, place, "subtyping")
    assert found is not None
    found.sources = {k: Fold(("S1",) if k == 0 else ("S2",), ("S3",)) for k in (0, 1)}
    folds = {
        name: [saved.config["fold"] for saved in models_that_never_saw(found, name)] for name in ("S1", "S2", "S3")
    }
    assert folds == {"S1": [1], "S2": [0], "S3": [0, 1]}


def test_who_is_at_risk_are_the_patients_that_a_method_was_trained_on(
    ours: tuple[FinishedRun, Store], tmp_path: Path
) -> None:
    """Under `train_on: available` these are those who have what it sees."""
    run, _ = ours
    copy = FinishedRun(shutil.copytree(run.folder, tmp_path / "run"))
    frame, classes = copy.cohort("brca")
    before = collected(copy, place_in(copy, "cox"), "survival")
    write_cohort(
        copy.folder / "cohort/brca.parquet", frame.assign(has_rna=~frame["patient"].isin(["P02", "P04"])), classes
    )
    after, whole = (collected(copy, place_in(copy, name), "survival") for name in ("cox", "abmil"))
    assert before is not None
    assert after is not None
    assert whole is not None
    assert len(after.horizons[0].times) == len(before.horizons[0].times) - 2
    assert len(whole.horizons[0].times) == len(before.horizons[0].times)


def test_what_a_patient_lacks_leaves_out_the_methods_that_need_it(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    made = predict_patients(run, held_back(store, expression=None), Request())
    reasons = made.left_out.groupby("method")["reason"].unique().map(list).to_dict()
    assert reasons == {"cox": ["no expression"], "linear": ["no expression"], "survpath": ["no expression"]}
    assert set(made.tables["survival"]["method"]) == {"majority", "clinical", "site", "abmil"}
    bare = held_back(store, sheet=None)
    left = predict_patients(run, bare, Request()).left_out.groupby("method")["reason"].first()
    assert left["clinical"] == "clinical needs the columns age, site of a sheet of the new patients"


def test_genes_of_another_kind_are_refused_and_few_missing_ones_are_listed(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    values = read_expression(store.folder / "rna.parquet", patients=sorted(HELD_BACK))
    other = Expression(values.values, values.patients, [f"x{name}" for name in values.ids], values.symbols)
    with pytest.raises(InputError, match=r"nothing could be predicted.*3 of the model's 3 genes are not in the expres"):
        predict_patients(run, held_back(store, expression=other), Request(methods=("cox",)))
    fewer = Expression(values.values[:, 1:], values.patients, values.ids[1:], values.symbols[1:])
    made = predict_patients(run, held_back(store, expression=fewer), Request(methods=("cox",), missing_genes=0.4))
    assert set(made.genes_missing["id"]) == {"t0"}
    assert len(made.tables["survival"]) == len(HELD_BACK)


def test_a_patient_without_enough_values_is_left_out_alone(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    found = read_expression(store.folder / "rna.parquet", patients=sorted(HELD_BACK))
    values = found.values.copy()
    values[1] = np.nan
    holes = Expression(values, found.patients, found.ids, found.symbols)
    made = predict_patients(run, held_back(store, expression=holes), Request(methods=("cox", "survpath")))
    assert set(made.left_out["unit"]) == {found.patients[1]}
    assert made.left_out["reason"].str.startswith("100% of the model's genes have no value").all()
    assert set(made.tables["survival"]["patient"]) == HELD_BACK - {found.patients[1]}


def test_genes_without_a_value_are_counted_patient_by_patient(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    found = read_expression(store.folder / "rna.parquet", patients=sorted(HELD_BACK))
    values = found.values.copy()
    values[1, found.ids.index("t0")] = np.nan
    holes = Expression(values, found.patients, found.ids, found.symbols)
    asked = Request(methods=("cox", "linear"), missing_genes=0.4)
    made = predict_patients(run, held_back(store, expression=holes), asked)
    checks = {one.what: one for one in made.checks}
    assert checks["genes (cox, survival)"].verdict == "differs"
    assert f"1 have no value of some genes (at most 1, {found.patients[1]})" in checks["genes (cox, survival)"].new
    none = predict_patients(run, held_back(store, expression=None), Request())
    checks = {one.what: one for one in none.checks}
    assert checks["genes (linear, subtyping)"].verdict == "not known"
    assert checks["genes (linear, subtyping)"].new == "nobody's expression was used"


def test_missing_genes_stay_listed_where_a_patient_of_the_run_has_no_expression(
    ours: tuple[FinishedRun, Store],
) -> None:
    found = collected(ours[0], place_in(ours[0], "cox"), "survival")
    assert found is not None
    values = read_expression(ours[1].folder / "rna.parquet", patients=sorted(HELD_BACK))
    fewer = Expression(values.values[:, 1:], values.patients, values.ids[1:], values.symbols[1:])
    new = held_back(ours[1], expression=fewer)
    ask_models(found, new.units("patient"), new, Terms((365.0,), 0.4))
    bare = held_back(ours[1], expression=None)
    ask_models(found, bare.units("patient"), bare, Terms((365.0,), 0.4))
    assert found.missing == {0: ("t0",), 1: ("t0",)}


def test_values_on_another_scale_are_refused(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    values = read_expression(store.folder / "rna.parquet", patients=sorted(HELD_BACK))
    counts = Expression(np.exp2(values.values + 10), values.patients, values.ids, values.symbols)
    with pytest.raises(InputError, match="on another scale than the training matrix"):
        predict_patients(run, held_back(store, expression=counts), Request(methods=("cox",)))


def test_a_patient_on_another_scale_is_left_out_alone(ours: tuple[FinishedRun, Store]) -> None:
    run, store = ours
    found = read_expression(store.folder / "rna.parquet", patients=sorted(HELD_BACK))
    values = found.values.copy()
    values[1] = np.exp2(values[1] + 10)
    mixed = Expression(values, found.patients, found.ids, found.symbols)
    made = predict_patients(run, held_back(store, expression=mixed), Request(methods=("cox", "survpath")))
    assert set(made.left_out["unit"]) == {found.patients[1]}
    assert made.left_out["reason"].str.startswith("expression on another scale: genes are").all()
    assert set(made.tables["survival"]["patient"]) == HELD_BACK - {found.patients[1]}
    checks = {one.what: one for one in made.checks}
    assert checks["scale (cox, survival)"].verdict == "differs"
    assert "1 left out: on another scale" in checks["scale (cox, survival)"].new


def of_ids(ids: list[str]) -> Expression:
    return Expression(np.ones((1, len(ids)), np.float32), ["p"], ids, ids)


def test_ids_meet_without_their_versions() -> None:
    first, second, third = (f"ENSG0000000000{number}" for number in (1, 2, 3))
    matched = match_genes([f"{first}.7", f"{second}.1", f"{third}.1"], of_ids([f"{first}.3", f"{second}.1"]))
    assert matched.missing == (f"{third}.1",)
    assert matched.without_version == 1
    assert match_genes([f"{first}.7"], of_ids([f"{first}.3", f"{first}.4"])).missing == (f"{first}.7",)


def test_a_number_behind_the_dot_of_another_name_is_no_version() -> None:
    wanted = ["AC004556.1", "RP11-34P13.7", "HLA-A"]
    matched = match_genes(wanted, of_ids(["AC004556.3", "RP11-34P13.13", "HLA-A"]))
    assert matched.missing == ("AC004556.1", "RP11-34P13.7")
    assert matched.without_version == 0


def test_genes_that_met_without_their_version_are_counted(ours: tuple[FinishedRun, Store]) -> None:
    ids = [f"ENSG0000000000{number}.7" for number in range(3)]
    found = collected(ours[0], place_in(ours[0], "cox"), "survival")
    assert found is not None
    for saved in found.saved:
        saved.config["inputs"]["genes"] = ids
    values = read_expression(ours[1].folder / "rna.parquet", patients=sorted(HELD_BACK))
    others = Expression(values.values, values.patients, [name.replace(".7", ".9") for name in ids], values.symbols)
    new = held_back(ours[1], expression=others)
    ask_models(found, new.units("patient"), new, Terms((365.0,), 0.1))
    assert gene_checks([found])[0].new == "by id; 3 without their version"


def test_a_distance_is_told_only_where_a_scaler_was_fitted() -> None:
    scaler = {"mean": np.zeros(3), "scale": np.ones(3)}
    found = judged(np.full((2, 3), 0.5), scaler)
    assert found is not None
    assert found.distance == pytest.approx([0.5, 0.5])
    assert judged(np.full((2, 3), 50.0), {}) is None


def of_ours(path: Path, size: int = 256, digest: str = "abc", width: int = 5, *, pen: bool = True) -> None:
    """A feature file that says how it was made."""
    rng = np.random.default_rng(abs(hash(path.name)) % 1000)
    settings = {
        "encoder": {"model": "timm/x", "name": "uni", "weights": "hub", "precision": "float32"},
        "patches": {"patch": {"size_px": size, "mpp": 0.5}, "scale": "exact", "segmentation": {"pen": pen}},
    }
    with h5py.File(path, "w") as file:
        file["features"] = rng.normal(size=(4, width)).astype(np.float32)
        file["features"].attrs["weights_digest"] = digest
        file.attrs["settings"] = json.dumps(settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 512}, "patches: training had .*256.* the new slides have .*512"),
        ({"digest": "other"}, "weights: training had abc, the new slides have other"),
        ({"width": 7}, "width: training had 5, the new slides have 7"),
    ],
)
def test_features_made_otherwise_are_refused(
    change: dict[str, Any], said: str, ours: tuple[FinishedRun, Store], tmp_path: Path
) -> None:
    of_ours(tmp_path / "old.h5")
    of_ours(tmp_path / "new.h5", **change)
    index = pd.DataFrame({"path": [str(tmp_path / "old.h5")], "status": ["ok"], "dim": ["5"]})
    checks = check_features(index, {"new": tmp_path / "new.h5"}, "the run is results/x")
    with pytest.raises(InputError, match=said):
        require_same_features(checks)
    same = check_features(index, {"new": tmp_path / "old.h5"}, "the run is results/x")
    assert {one.verdict for one in same} == {"same"}
    require_same_features(same)


def test_new_slides_are_made_as_most_training_slides_not_as_the_first(tmp_path: Path) -> None:
    """The first has settings of its own."""
    for number in range(5):
        of_ours(tmp_path / f"old{number}.h5", pen=number > 0)
    paths = [str(tmp_path / f"old{number}.h5") for number in (0, 1, 2, 3, 4)]
    index = pd.DataFrame({"path": [str(tmp_path / "gone.h5"), *paths], "status": "ok", "dim": "5"})
    found = training_slides(index)
    assert found.settings["patches"]["segmentation"] == {"pen": True}
    assert found.index["path"].iloc[0] == paths[1]
    assert sorted(found.index["path"]) == sorted(index["path"])
    assert "as on 4 of 5 training slides" in found.note
    checks = {one.what: one.verdict for one in check_features(found.index, {"n": tmp_path / "old0.h5"}, "the run")}
    assert checks["tissue mask"] == "differs"
    assert training_slides(index.iloc[2:]).note == ""
    assert training_slides(index.iloc[:1]).settings == {}


def test_new_slides_are_judged_as_the_runs_own(
    ours: tuple[FinishedRun, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the run's max_unreadable; of a run that does not say it by the default, which is told."""
    run, handed = FinishedRun(Path(shutil.copytree(ours[0].folder, tmp_path / "run"))), []
    of_ours(tmp_path / "old.h5")
    training = training_slides(pd.DataFrame({"path": [str(tmp_path / "old.h5")], "status": ["ok"]}))

    def nothing(_: Any, files: Any, *settings: Any, **__: Any) -> None:
        handed.append(settings[1])
        for folder in (files.patches, files.features):
            write_rows(folder / "status.tsv", ("slide_id", "status", "reason"), [])

    monkeypatch.setattr(new_inputs, "_training_slides", lambda *_: training)
    monkeypatch.setattr(new_inputs, "patch_shard", lambda *_, **__: None)
    monkeypatch.setattr(new_inputs, "extract_shard", nothing)
    asked, given = chosen(run, Request(methods=("abmil",))), Given(tmp_path / "work")
    told = make_features(run, asked, [], given, 1)[2]
    assert "max_unreadable): new slides fail above 10%, the default" in told
    (place,) = asked.places
    settings = {"batch_size": 16, "max_unreadable": 0.3}
    write_plan(planned(str(place.folder / "plan.json"), {"seeds": [42]}, {}, {"features": settings}))
    assert make_features(run, asked, [], given, 1)[2] == ""
    assert handed == [{}, settings]


def test_files_that_do_not_say_how_they_were_made_are_told_apart_by_width_alone(
    ours: tuple[FinishedRun, Store], predicted: Predicted
) -> None:
    verdicts = {one.what: one.verdict for one in predicted.checks if "(" not in one.what}
    assert verdicts["width"] == "same"
    assert verdicts["weights"] == verdicts["patches"] == "not known"


def test_sets_of_classes_are_promised_only_where_folds_divide_the_patients(
    predicted: Predicted, ours: tuple[FinishedRun, Store]
) -> None:
    assert any("aim at 90%" in note and "no promise for a single patient" in note for note in predicted.notes)
    sets = predicted.tables["subtyping"].set_index(["method", "patient"])["class_set"]
    assert sets[("majority", "P20")].split() == ["a", "b", "c"]


def test_one_patient_whom_a_fold_cannot_answer_takes_no_ones_set(ours: tuple[FinishedRun, Store]) -> None:
    found = collected(ours[0], place_in(ours[0], "abmil"), "subtyping")
    assert found is not None
    new = held_back(ours[1])
    ask_models(found, new.units("patient"), new, Terms((365.0,), 0.1))
    whole, promise = with_classes(found, averaged(found), 0.9)
    assert whole["class_set"].ne("").all()
    found.rows[0] = found.rows[0][found.rows[0]["patient"] != "P21"]
    table, said = with_classes(found, averaged(found), 0.9)
    sets = table.set_index("patient")["class_set"]
    assert sets.to_dict() == whole.set_index("patient")["class_set"].to_dict() | {"P21": ""}
    assert said == promise + " 1 have no set, since not every fold's model could answer: P21."


def test_a_slide_without_patches_or_with_nan_stops_nothing_else(
    ours: tuple[FinishedRun, Store], tmp_path: Path
) -> None:
    run, store = ours
    shutil.copy(store.folder / "P20-1.h5", tmp_path / "good.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["features"] = np.zeros((0, 5), np.float32)
    with h5py.File(tmp_path / "nan.h5", "w") as file:
        file["features"] = np.full((3, 5), np.nan, np.float32)
    out = tmp_path / "out"
    made, files = predict_given(run, Given(out / "work", features=tmp_path), Request(methods=("abmil",)), out, 1)
    assert made.tables["subtyping"]["patient"].tolist() == ["good"]
    reasons = made.left_out.set_index("unit")["reason"]
    assert "no patches" in reasons.loc["empty"].iloc[0]
    assert "NaN" in reasons.loc["nan"].iloc[0]
    assert {path.name for path in files} >= {"subtyping.tsv", "survival.tsv", "checks.tsv", "about.md", "left_out.tsv"}


def test_a_second_call_removes_the_tables_of_the_first(predicted: Predicted, tmp_path: Path) -> None:
    write_predicted(predicted, tmp_path)
    assert (tmp_path / "survival.tsv").exists()
    fewer = Predicted(predicted.chosen, {"subtyping": predicted.tables["subtyping"]}, left_out=predicted.left_out)
    write_predicted(fewer, tmp_path)
    assert not (tmp_path / "survival.tsv").exists()


def test_an_expression_sheet_and_a_sheet_are_enough(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    run, store = ours
    values = read_expression(store.folder / "rna.parquet", patients=["P20", "P21"])
    table = pd.DataFrame(values.values.T, index=pd.Index(values.ids, name="id"), columns=["N1", "N2"])
    table.to_csv(tmp_path / "rna.tsv", sep="\t")
    (tmp_path / "sheet.tsv").write_text("patient\tage\tsite\nN1\t40\ts1\nN2\t70\ts2\n")
    given = Given(tmp_path / "work", expression=tmp_path / "rna.tsv", sheet=tmp_path / "sheet.tsv")
    made, _ = predict_given(run, given, Request(), tmp_path / "out", 1)
    assert set(made.tables["survival"]["method"]) == {"majority", "clinical", "site", "cox"}
    assert set(made.tables["survival"]["patient"]) == {"N1", "N2"}


def test_numbers_of_a_sheet_are_read_as_a_cohorts_and_what_is_none_is_left_out(
    ours: tuple[FinishedRun, Store], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Request(methods=("clinical",))

    def said(rows: str) -> Predicted:
        (tmp_path / "sheet.csv").write_text(rows)
        return predict_given(ours[0], Given(tmp_path / "work", sheet=tmp_path / "sheet.csv"), asked, tmp_path / "o", 1)[
            0
        ]

    points = said("patient;age;site\nN1;41.5;s1\nN2;70;s2\n")
    commas = said("patient;age;site\nN1;41,5;s1\nN2;70;s2\n")
    assert "sheet.csv: age: 1 decimal commas read as points" in caplog.text
    about = (tmp_path / "o/about.md").read_text()
    assert "sheet.csv: age: 1 decimal commas read as points." in about
    assert "semicolon" in about
    pd.testing.assert_frame_equal(points.tables["subtyping"], commas.tables["subtyping"])
    assert points.checks[-1].new == "site: never seen in training: 's1' 1 (1 of 2 models)"  # folds keep sites apart

    others = said("patient;age;site\nN1;forty;s1\nN2;70;s2\nN3;;s9\n")
    assert set(others.tables["subtyping"]["patient"]) == {"N2", "N3"}
    reasons = others.left_out.drop_duplicates("unit").set_index("unit")["reason"].to_dict()
    assert reasons == {"N1": "age: 'forty' is no number, as training's are; correct it, or leave it empty"}
    check = {one.what: one for one in others.checks}["columns (clinical, subtyping)"]
    assert check.verdict == "differs"
    assert "age: 1 not known, training median 55" in check.new
    assert "site: never seen in training: 's9' 1" in check.new


def test_sites_that_training_never_saw_are_told(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    (tmp_path / "sheet.tsv").write_text("patient\tsite\nN1\tCharite\nN2\t\nN3\tnot reported\nN4\ts0\n")
    given = Given(tmp_path / "work", sheet=tmp_path / "sheet.tsv")
    made, _ = predict_given(ours[0], given, Request(methods=("site",)), tmp_path / "out", 1)
    check = {one.what: one for one in made.checks}["columns (site, survival)"]
    assert check.verdict == "differs"
    assert "site: 2 not known, the overall rate stands in" in check.new
    assert "site: never seen in training: 'Charite' 1, the overall rate stands in" in check.new


def test_codes_are_named_as_the_runs_institutions() -> None:
    names = ["TCGA-A1-0001", "TCGA-A1-0002", "TCGA-B2-0001", "TCGA-C3-0001", "TCGA-C3-0002", "own"]
    cohort = pd.DataFrame({"patient": names, "site": ["Mayo", "Mayo", "B2", "Mayo", "Yale", "Yale"]})
    sites, said = named_as_in_run(pd.Series(["A1", " A1", "B2", "C3", "Yale", "", None]), cohort)
    assert sites.tolist() == ["Mayo", "Mayo", "B2", "C3", "Yale", "", ""]  # C3 is two institutions here
    assert said == "Sites are named as the run's institutions: A1 is Mayo (2)."
    assert named_as_in_run(pd.Series(["A1"]), cohort.assign(site=["A1", "A1", "B2", "C3", "C3", "x"]))[1] == ""


def test_a_table_of_institutions_serves_new_patients_too(tmp_path: Path) -> None:
    """Sites from a sheet's column: no barcode tells their codes, the cohort's file does."""
    run, store = finished_run(tmp_path / "run", methods=("site",))
    assert "s0" in set(store.frame["site"])
    (tmp_path / "sheet.tsv").write_text("patient\tsite\nN1\tH07\nN2\ts0\nN3\tH99\n")
    asked, given = Request(methods=("site",)), Given(tmp_path / "work", sheet=tmp_path / "sheet.tsv")
    before, _ = predict_given(run, given, asked, tmp_path / "before", 1)
    codes = {"H07": "s0", "H08": "s1"}
    write_cohort(run.folder / "cohort/brca.parquet", store.frame, CLASSES, institutions=codes)
    made, _ = predict_given(run, given, asked, tmp_path / "after", 1)
    assert "Sites are named as the run's institutions: H07 is s0 (1)." in made.notes
    checks = [{one.what: one for one in found.checks}["columns (site, survival)"].new for found in (before, made)]
    assert "never seen in training: 'H07' 1, 'H99' 1" in checks[0]
    assert "never seen in training: 'H99' 1" in checks[1]
    values = made.tables["survival"].set_index("patient")["risk_percentile"]
    assert values["N1"] == values["N2"] != values["N3"]


def test_who_is_a_patient_is_asked_of_names_in_any_case(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    """A name of the run in other case may be the same patient or another: neither value is given."""
    asked, sheet = Request(methods=("clinical",)), tmp_path / "sheet.tsv"

    def said(rows: str) -> Predicted:
        sheet.write_text("patient\tage\tsite\n" + rows)
        return predict_given(ours[0], Given(tmp_path / "work", sheet=sheet), asked, tmp_path / "out", 1)[0]

    made = said("p00\t60\ts1\nN1\t50\ts1\nP02\t50\ts1\n")
    assert set(made.tables["subtyping"]["patient"]) == {"N1", "P02"}
    assert made.left_out["unit"].tolist() == ["p00"]
    assert "the run has a patient 'P00': write the same name if it is the same" in made.left_out["reason"].iloc[0]
    with pytest.raises(InputError, match="nothing could be predicted of anyone: p00: the run has a patient 'P00'"):
        said("p00\t60\ts1\n")
    with pytest.raises(InputError, match="new patients 'N1' and 'n1' differ by case alone"):
        said("N1\t60\ts1\nn1\t60\ts1\n")
    for name in ("", "NA", "unknown"):
        with pytest.raises(InputError, match=f"a new patient is named '{name}', which says that nothing is known"):
            said(f"N1\t60\ts1\n{name}\t60\ts1\n")


def test_a_patient_without_a_row_in_the_sheet_has_no_clinical_value(ours: tuple[FinishedRun, Store]) -> None:
    frame = people()
    sheet = frame[frame["patient"].isin({"P20", "P21"})][["patient", "age", "site"]]
    made = predict_patients(ours[0], held_back(ours[1], sheet=sheet), Request(methods=("clinical", "site", "cox")))
    rows = made.tables["survival"].groupby("method")["patient"].agg(set).to_dict()
    assert rows == {"clinical": {"P20", "P21"}, "site": {"P20", "P21"}, "cox": HELD_BACK}
    assert set(made.left_out["reason"]) == {"no row in the sheet of patients"}
    (check,) = {one.new for one in made.checks if one.what.startswith("columns (clinical")}
    assert "not known" not in check


def test_a_column_that_describes_genes_is_no_patient(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    values = read_expression(ours[1].folder / "rna.parquet", patients=["P20"])
    table = pd.DataFrame(values.values.T, index=pd.Index(values.ids, name="id"), columns=["N1"])
    table.assign(entrez=1.0, gene_length=2.0).to_csv(tmp_path / "rna.tsv", sep="\t")
    given = Given(tmp_path / "work", expression=tmp_path / "rna.tsv")
    made, _ = predict_given(ours[0], given, Request(methods=("cox",)), tmp_path / "out", 1)
    assert made.tables["survival"]["patient"].tolist() == ["N1"]
    assert any("are no patients: entrez, gene_length" in note for note in made.notes)


def test_a_sample_that_is_no_primary_tumour_is_no_patients_expression(
    ours: tuple[FinishedRun, Store], tmp_path: Path
) -> None:
    values = read_expression(ours[1].folder / "rna.parquet", patients=["P20", "P21"])
    names = ["TCGA-AA-0001-01", "TCGA-AA-0002-11A"]
    pd.DataFrame(values.values.T, index=pd.Index(values.ids, name="id"), columns=names).to_csv(
        tmp_path / "rna.tsv", sep="\t"
    )
    given = Given(tmp_path / "work", expression=tmp_path / "rna.tsv")
    made, _ = predict_given(ours[0], given, Request(methods=("cox",)), tmp_path / "out", 1)
    assert made.tables["survival"]["patient"].tolist() == ["TCGA-AA-0001"]
    assert any("no primary tumours are left out: 11 (normal tissue) 1" in note for note in made.notes)


def test_what_is_no_finished_run_is_refused(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_run(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no results of a run"):
        open_run(tmp_path / "other")
    (tmp_path / "begun/cohort").mkdir(parents=True)
    with pytest.raises(InputError, match="never finished"):
        open_run(tmp_path / "begun")
    with pytest.raises(InputError, match=r"no method mirror in this run \(there: abmil, clinical, cox"):
        predict_patients(ours[0], held_back(ours[1]), Request(methods=("mirror",)))
    with pytest.raises(InputError, match="no protocol 'paper' in this run"):
        predict_patients(ours[0], held_back(ours[1]), Request(protocol="paper"))
    with pytest.raises(InputError, match="days of survival are positive"):
        Request(days=(0,))
    with pytest.raises(InputError, match="no new patients"):
        predict_given(ours[0], Given(tmp_path), Request(), tmp_path, 1)


def test_a_model_that_is_gone_is_named(ours: tuple[FinishedRun, Store], tmp_path: Path) -> None:
    copied = tmp_path / "renamed"
    shutil.copytree(ours[0].folder, copied)
    run = open_run(copied)
    place = place_in(run, "abmil")
    first = run.models(place, "survival")[0]
    assert str(first.folder).startswith(str(copied))  # a copy has models of its own
    (first.folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="the model is gone"):
        run.models(place, "survival")
