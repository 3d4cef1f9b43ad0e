"""What lies in a shared store or among copied results is held against this run's settings when planning."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from mirrorflow.config.resolve import resolve
from mirrorflow.errors import SettingsMismatchError
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.records import content_digest, hold_predictions, read_plan, write_plan
from mirrorflow.plan.run import Run
from mirrorflow.plan.session import hold_stored
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.store_paths import ExpressionFile
from rerun_example import EXAMPLE, write_example
from snakemake_notes import note

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a store and results as a first run leaves them, without Snakemake's notes."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_first_run(folder)
    return folder


@pytest.fixture(autouse=True)
def finished(first_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the first run's folder, which the test works in."""
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def write_first_run(folder: Path) -> None:
    write_example(folder)
    (folder / "expression.tsv").write_text("id\ta\n")
    (folder / "other.tsv").write_text("id\ta\tb\n")
    checks = checks_of(lambda raw: None)
    for cohort in checks.run.cohorts:
        record = checks.cohorts.expression_record(checks.run.cohort(cohort)["expression"], cohort)
        write_plan(record)
        made_of = {"settings": {"matrix_sha256": content_digest("expression.tsv")}}
        path = Path(record["path"].replace(".plan.json", ".parquet.json"))
        path.write_text(json.dumps(made_of))
        path.with_suffix("").touch()
    for record in checks._slides():
        write_plan(record)
    for record in result_records(checks):
        write_plan(record)
        Path(record["path"]).with_name("manifest.json").touch()


def checks_of(change: Callable[[Raw], object]) -> StoredChecks:
    raw = copy.deepcopy(yaml.safe_load(EXAMPLE))
    change(raw)
    run = Run(resolve(raw))
    return StoredChecks(run, CohortInputs(run), SlideInputs(run), PredictionInputs(run))


def result_records(checks: StoredChecks) -> list[dict[str, Any]]:
    paths = [path for where in checks.run.evaluated() for path in checks.run.manifests(*where)]
    return [checks.predictions.record_of(PredictionsManifest.parse(path)) for path in paths]


def of_source(**keys: object) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        raw["expression"]["sources"]["first"] |= keys

    return change


def of_encoder(**keys: object) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        raw["features"]["encoders"]["resnet50"] |= keys

    return change


def of_section(section: str, **keys: object) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        raw[section] = raw.get(section, {}) | keys

    return change


def test_the_same_settings_pass():
    checks_of(lambda raw: None).hold()


@pytest.mark.parametrize(
    ("change", "was", "now"),
    [
        (of_source(matrix="other.tsv"), "'expression.tsv'", "'other.tsv'"),
        (of_source(orientation="samples_by_genes"), "'genes_by_samples'", "'samples_by_genes'"),
        (of_source(sample_ids="patient"), "'tcga'", "'patient'"),
        (of_encoder(precision="bfloat16"), "'float32'", "'bfloat16'"),
        (of_encoder(weights="random", seed=3), "'hub'", "'random'"),
        (of_section("slides", scale="trident"), "'exact'", "'trident'"),
    ],
)
def test_a_second_run_with_other_settings_is_told_both(change, was, now):
    with pytest.raises(SettingsMismatchError, match=f"made with {was}, this run wants {now}"):
        checks_of(change).hold()


def test_a_changed_threshold_is_refused_once_with_every_folder_to_delete():
    change = of_section("slides", segmentation={"threshold": 30})
    with pytest.raises(SettingsMismatchError, match=r"threshold: made with None, this run wants 30\.0") as caught:
        checks_of(change).hold()
    said = str(caught.value)
    made = ["listed/256px-20x", "own/256px-20x", "planted/256px-20x"]
    assert said.count("segmentation.threshold: made with") == said.count("plan.json: made with other") == len(made)
    (told,) = (line for line in said.splitlines() if line.startswith("To make all of it again delete "))
    folders = told.removeprefix("To make all of it again delete ").rstrip(".").split(", ")
    patches = {f"store/slides/{place}" for place in made}
    features = {f"store/features/{place}/resnet50" for place in made} | {"store/features/planted/256px-20x/phikon"}
    assert set(folders) == patches | features
    assert len(folders) == len(set(folders))


def test_another_encoder_leaves_the_patches():
    with pytest.raises(SettingsMismatchError) as caught:
        checks_of(of_encoder(precision="bfloat16")).hold()
    assert "store/features/own/256px-20x/resnet50" in str(caught.value)
    assert "delete store/slides" not in str(caught.value)


def test_more_patients_are_another_matrix():
    with Path("slides.tsv").open("a") as sheet:
        sheet.write("more\tnobody\tnobody\tmore.svs\n")
    with pytest.raises(SettingsMismatchError, match="patients: made with"):
        checks_of(lambda raw: None).hold()


def test_a_sheet_that_the_workflow_makes_says_nothing_of_patients_beforehand():
    path = Path("store/expression/first/own.plan.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"patients": None}))
    checks_of(lambda raw: None).hold()


def test_a_new_date_alone_is_no_mismatch_and_other_content_of_the_same_size_is():
    text = Path("expression.tsv").read_text()
    Path("expression.tsv").write_text(text)
    checks_of(lambda raw: None).hold()
    Path("expression.tsv").write_text(text.replace("a", "b"))
    with pytest.raises(SettingsMismatchError, match=r"expression\.tsv, which now holds.*--forcerun convert_expression"):
        checks_of(lambda raw: None).hold([])
    checks_of(lambda raw: None).hold(["--forcerun", "convert_expression"])
    checks_of(lambda raw: None).hold(["--target-jobs", "convert_expression:source=own,cohort=own"])


def test_what_snakemake_has_notes_of_is_left_to_it():
    run = checks_of(lambda raw: None).run
    for cohort in run.cohorts:
        note(f"store/expression/{run.cohort(cohort)['expression']}/{cohort}.parquet")
    checks_of(of_source(orientation="samples_by_genes"))._hold_expression("own")


def test_what_another_run_put_in_the_place_of_ours_is_not():
    run = checks_of(lambda raw: None).run
    output = run.at(ExpressionFile, source=run.cohort("own")["expression"], cohort="own")
    note(output, Path(output).stat().st_mtime - 60)
    checks_of(lambda raw: None)._hold_expression("own")
    with pytest.raises(SettingsMismatchError, match="this run wants 'samples_by_genes'"):
        checks_of(of_source(orientation="samples_by_genes"))._hold_expression("own")
    note(output, Path(output).stat().st_mtime)
    checks_of(of_source(orientation="samples_by_genes"))._hold_expression("own")


def deep(*keys: str, value: object) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        at = raw
        for key in keys[:-1]:
            if at.get(key) is None:
                at[key] = {}
            at = at[key]
        at[keys[-1]] = value

    return change


LEFT_OUT = [
    (deep("methods", "survpath", "train", value={"survival": "cox"}), "method.train.survival"),
    (deep("methods", "survpath", "train", value={"clip_norm": 1.0}), "method.train.clip_norm"),
    (deep("methods", "tta", "train", value={"ties": "order"}), "method.train.ties"),
    (deep("methods", "tta", "train", value={"decay": "matrices"}), "method.train.decay"),
    (deep("embed", "precision", value="bfloat16"), "precision"),
    (deep("cohorts", "own", "clinical", "event_words", value={"gone": 1}), "clinical.event_words.*"),
    (deep("cohorts", "own", "clinical", "dates", value="day_first"), "clinical.dates"),
    (deep("cohorts", "elsewhere", "clinical", "columns", value={"label": "other"}), "clinical.columns.*"),
    (deep("cohorts", "elsewhere", "classes", value={"Alpha": "gamma"}), "cohort.classes.*"),
    (deep("cohorts", "own", "train_on", value="available"), "cohort.train_on"),
    (deep("expression", "selection", "rfe", value={"cv_by": "site"}), "genes.rfe.cv_by"),
]
"""What the first config does not name: its default stands in the records, and for those of before."""


def test_how_slides_are_read_is_noted_and_held_against_nothing():
    """New patients' slides are read the same way, by whoever has the run's folder."""
    checks = checks_of(lambda raw: None)
    records = result_records(checks)
    settings = {key: checks.run.config["features"][key] for key in ("batch_size", "max_unreadable")}
    for record in records:
        write_plan(record)
        place = PredictionsManifest.parse(Path(record["path"]).with_name("manifest.json"))
        sees_slides = "slides" in checks.run.config["methods"][place.method]["inputs"]
        assert read_plan(record["path"]).get("features") == (settings if sees_slides else None)
    assert {"noted" in record for record in records} == {True, False}
    hold_predictions(result_records(checks_of(deep("features", "max_unreadable", value=0.3))))


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("change", "key"), LEFT_OUT)
def test_what_one_of_two_configs_leaves_out_is_seen(change, key, older):
    first = result_records(checks_of(lambda raw: None))
    if older:  # as versions wrote them that left out what a config leaves out
        for record in first:
            write_plan({**record, "settings": without(record["settings"], record["unfilled"])})
    hold_predictions(first)
    changed = result_records(checks_of(change))
    with pytest.raises(SettingsMismatchError, match=rf"{key}: made with"):
        hold_predictions(changed)
    for record in changed:
        write_plan(record)
    hold_predictions(changed)
    with pytest.raises(SettingsMismatchError, match=rf"{key}: made with"):
        hold_predictions(first)


def without(settings: dict[str, Any], unfilled: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in unfilled or value != unfilled[key]}
    sections = [key for key, value in kept.items() if isinstance(value, dict) and isinstance(unfilled.get(key), dict)]
    return kept | {key: without(kept[key], unfilled[key]) for key in sections}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (of_section("probe", epochs=7), "probe.epochs"),
        (of_section("pretrain", epochs=3), "pretrain.epochs"),
        (of_section("splits", folds=2, inner_folds=2, seed=5), "splits.seed"),
        (lambda raw: raw["protocols"]["paper"].update(few_shot_genes="none"), "protocol.few_shot_genes"),
        (lambda raw: raw["methods"].update(linear={"pooling": "mean_std"}), "method.pooling"),
        (lambda raw: raw["expression"]["selection"].update(method="variance"), "genes.method"),
    ],
)
def test_copied_results_of_another_config_are_not_made_into_tables(change, key):
    with pytest.raises(
        SettingsMismatchError, match=rf"plan\.json: made with other settings(.|\n)*{key}: made with"
    ) as told:
        checks_of(change).hold([])
    assert "--forceall" in str(told.value)
    checks_of(change).hold(["--forceall"])  # every job starts, and writes what it was planned with


def test_the_fix_is_one():
    change = of_section("probe", epochs=7)
    checks_of(change).hold(["--forceall"])
    checks_of(change).hold(["--force", "--target-jobs", "probe_mirror:protocol=paper"])  # its job on a cluster
    for manifest in Path("results").rglob("manifest.json"):
        manifest.unlink()
    checks_of(change).hold([])


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["cohorts"]["own"].update(title="Renamed"),
        of_section("compute", micro_batch=2),
        lambda raw: raw["methods"].update({"majority": {}}),
        lambda raw: raw["expression"]["selection"].update(gene_sets="census.csv"),
    ],
)
def test_what_decides_no_prediction_passes(change):
    checks_of(change).hold([])


def test_a_change_of_the_probe_leaves_methods_without_one_alone():
    """Their jobs do not start again: a record that differed would stop every later table."""
    before = {record["path"]: record["settings"] for record in result_records(checks_of(lambda raw: None))}
    for change in (
        of_section("probe", epochs=7),
        of_section("splits", folds=2, inner_folds=3),
        of_section("embed", draws=3),
    ):
        after = {record["path"]: record["settings"] for record in result_records(checks_of(change))}
        changed = {
            PredictionsManifest.parse(path.replace("plan", "manifest")).method
            for path in after
            if after[path] != before[path]
        }
        assert not changed & {"linear", "cox", "clinical"}


def test_tables_are_made_of_what_was_planned():
    records = result_records(checks_of(of_section("probe", epochs=7)))
    with pytest.raises(SettingsMismatchError, match=r"delete the manifest\.json beside this file"):
        hold_predictions(records)
    assert read_plan("nowhere.json") is None
    hold_predictions([{"path": "nowhere.json", "settings": {}}])


def test_a_setting_that_a_version_added_or_dropped_is_no_difference():
    path = next(Path("results").rglob("plan.json"))
    record = json.loads(path.read_text())
    del record["splits"]["seed"]
    path.write_text(json.dumps(record | {"dropped": 1}))
    checks_of(lambda raw: None).hold([])
    with pytest.raises(SettingsMismatchError, match=r"splits\.folds"):
        checks_of(of_section("splits", folds=3, inner_folds=2)).hold([])


def test_slides_of_kinds_that_nobody_declared_stop_a_run_when_it_is_planned(monkeypatch):
    """Counted, with the fix; a job of a run on a cluster, whose planning has looked, does not look again."""
    checks = checks_of(lambda raw: None)
    (cohort,) = [name for name in checks.run.cohorts if name == "own"]
    sheet = Path(checks.run.cohort(cohort)["slides"]["sheet"])
    kinds = ["01Z-00-DX1", "01Z-00-DX1", "11A-01-TS1"]
    names = [f"TCGA-AA-000{n}-{kind}" for n, kind in enumerate(kinds)]
    sheet.write_text("slide_id\tpatient\n" + "".join(f"{name}\t{name[:12]}\n" for name in names))
    with pytest.raises(WorkflowError, match=r"cohorts.own: .*samples 01 \(primary tumour\) 2, 11 \(normal tissue\) 1"):
        hold_stored(checks)
    monkeypatch.setattr("sys.argv", ["snakemake", "--target-jobs", "x"])
    with pytest.raises(WorkflowError, match="made with other settings"):  # of the matrix: other patients
        hold_stored(checks)

    def declare(raw: Raw) -> None:
        for name in ("own", "elsewhere"):
            raw["cohorts"][name]["slides"] |= {"mixed": ["TS", "11"]}

    checks_of(declare).slides.hold_kinds()
