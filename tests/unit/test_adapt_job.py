"""A source's models on a target cohort, from files to predictions, audit and rows of the results."""

import dataclasses
import json
from pathlib import Path
from shutil import copytree

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from mirrorflow.audit.claims import fail_on_leak
from mirrorflow.audit.source import Source
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.learners.saved import RawUnits, load_trained
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.plan.records import planned
from mirrorflow.reuse.model import RunModel
from mirrorflow.runtime.job import Job
from mirrorflow.steps.audit.audit import AuditFiles, AuditSettings, run_audit
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.steps.training.adapt import Inputs, Outputs, Params, adapted_protocol, run
from mirrorflow.steps.training.embed_target import embed_target_fold
from mirrorflow.steps.training.plan_inputs import Rna
from mirrorflow.store.digest import patients_digest
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.expression import ExpressionWriter, read_expression, write_sidecar
from mirrorflow.store.features import read_features
from mirrorflow.store.models import model_digest
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_numbers, write_cohort, write_fold
from mirrorflow.tables.compared import settings_compared
from mirrorflow.tables.results import NUMBERS
from pretraining_cohort import PATIENTS as SOURCE_PATIENTS
from pretraining_cohort import TRAIN as SOURCE_TRAIN
from pretraining_cohort import Cohort

RESOURCES = Path(__file__).parents[2] / "resources"
GENES_OF = "scope/nsclc/genes"
EMBEDDED = Path("scope/nsclc--from--brca/embeddings/phikon/mirror/seed1/frozen")
FOLDS, PEOPLE, GENES = 2, 48, 9
PAIR = "nsclc--from--brca"
HONEST = PROTOCOL_PRESETS["honest"] | {"preset": "honest", "claims_honest": True}
PROBE = {
    "epochs": 25, "batch_size": 16, "learning_rate": 0.01, "survival_learning_rate": 0.01, "label_smoothing": 0.1,
    "weight_decay": 0.0, "standardize": False, "survival_bins": 4,
}  # fmt: skip
ADAPT = {"embedding_learning_rate": 2e-3, "embedding_weight_decay": 0.0}


@dataclasses.dataclass
class Pair:
    """A source with two pretrained folds and a target of its own genes, in ``folder`` as the rules leave them."""

    folder: Path
    files: Inputs
    params: Params
    folds: list[Fold]

    @property
    def manifest(self) -> Path:
        return self.folder / "predictions/honest/nsclc--from--brca/phikon/mirror/manifest.json"

    def run(self, **changes: object) -> dict:
        run(self.files, Outputs(self.manifest), dataclasses.replace(self.params, **changes), Job("test"))
        return json.loads(self.manifest.read_text())

    def rows(self, task: str) -> pd.DataFrame:
        paths = [self.manifest.parent / task / f"fold{fold}.parquet" for fold in range(FOLDS)]
        return pd.concat([read_predictions(path).rows for path in paths], ignore_index=True)

    def ages(self) -> dict[str, int]:
        found = sorted(self.manifest.parent.glob("*/*.parquet"))
        return {path.relative_to(self.manifest.parent).as_posix(): path.stat().st_mtime_ns for path in found}

    def accuracy(self) -> float:
        rows = self.rows("subtyping")
        return float((rows["prob_b"].gt(0.5) == rows["label"].eq("b")).mean())

    def audit(self, **protocol: object) -> dict:
        source = Source(
            "brca",
            str(self.folder / "brca.parquet"),
            [str(self.folder / f"source_splits_{fold}.csv") for fold in range(FOLDS)],
            [str(self.folder / f"source_fold{fold}.tsv") for fold in range(FOLDS)],
            [str(path) for path in self.files.models],
        )
        files = AuditFiles(str(self.files.cohort), self.files.splits, self.files.genes, [str(self.manifest)])
        settings = AuditSettings(HONEST | protocol, [], "honest", scaled_upstream=False)
        run_audit(files, settings, str(self.folder / "nsclc--from--brca"), source=source)
        return json.loads((self.folder / "nsclc--from--brca.json").read_text())


def target_people(names: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    classes = np.arange(PEOPLE) % 2
    return pd.DataFrame(
        {
            "patient": names,
            "label": np.array(["a", "b"])[classes],
            "time_days": rng.exponential(1000 * np.exp(-2.5 * classes)) + 1,
            "event": (rng.random(PEOPLE) < 0.8).astype(float),
            "site": [f"s{i % 4}" for i in range(PEOPLE)],
            "slide_ids": [[f"{name}-1"] for name in names],
        }
    )


def write_target(folder: Path, frame: pd.DataFrame, folds: list[Fold], *, patch_dim: int = 5) -> None:
    """Classes differ in three of nine genes; slides say nothing."""
    rng = np.random.default_rng(2)
    names = frame["patient"].tolist()
    write_cohort(folder / "nsclc.parquet", frame, ["a", "b"])
    rows = []
    for name in names:
        with h5py.File(folder / f"{name}-1.h5", "w") as file:
            file["features"] = rng.normal(size=(7, patch_dim)).astype(np.float32)
        rows.append((f"{name}-1", name, str(folder / f"{name}-1.h5"), 7, patch_dim, "ok"))
    columns = ["slide_id", "patient", "path", "patches", "dim", "status"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "nsclc.tsv", sep="\t", index=False)
    values = rng.normal(size=(GENES, len(names))).astype(np.float32)
    values[:3] += 2.5 * (np.arange(len(names)) % 2)
    ids = [f"gene{number}" for number in range(GENES)]
    with ExpressionWriter(folder / "nsclc-rna.parquet", names) as writer:
        writer.add(ids, ids, values)
        writer.finish({}, {})
    write_sidecar(folder / "nsclc-rna.parquet")
    for number, fold in enumerate(folds):
        write_fold(folder / f"splits_{number}.csv", fold)
        write_genes(folder / GENES_OF / f"fold{number}.tsv", ids, list(fold.train))


def write_genes(path: Path, ids: list[str], labels: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"id": ids, "gene": ids}).to_csv(path, sep="\t", index=False)
    path.with_suffix(".json").write_text(json.dumps({"label_patients": labels, "labels_seen": len(labels)}))


def write_source(folder: Path, *, patch_dim: int = 5) -> list[str]:
    """The source cohort, with a pretrained model a fold; returns their records."""
    (folder / "source").mkdir(parents=True)
    cohort = Cohort(folder / "source", patch_dim=patch_dim)
    frame = cohort.units.assign(label="", time_days=np.nan, event=np.nan, site="")
    write_cohort(folder / "brca.parquet", frame.drop(columns="unit"), [])
    records = []
    for number in range(FOLDS):
        model = folder / f"scope/brca/models/phikon/mirror/seed1/fold{number}"
        cohort.pretrain(model, fold=number, epochs=1)
        (model / "done.json").write_text("{}")
        records.append(str(model / "done.json"))
        val = tuple(name for name in SOURCE_PATIENTS if name not in SOURCE_TRAIN)
        write_fold(folder / f"source_splits_{number}.csv", Fold(tuple(SOURCE_TRAIN), val))
        write_genes(folder / f"source_fold{number}.tsv", ["x"], SOURCE_TRAIN)
    return records


def prepared(folder: Path, *, names: list[str] | None = None, shuffled: bool = False) -> Pair:
    names = names or [f"T{number:02}" for number in range(PEOPLE)]
    frame = target_people(names)
    if shuffled:
        mixed = np.random.default_rng(5).permutation(PEOPLE)
        told = ["label", "time_days", "event"]
        frame[told] = frame[told].to_numpy()[mixed]
        frame = frame.astype({"time_days": float, "event": float})
    halves = [names[: PEOPLE // 2], names[PEOPLE // 2 :]]
    folds = [Fold(tuple(halves[1 - number]), tuple(halves[number])) for number in range(FOLDS)]
    models = write_source(folder)
    write_target(folder, frame, folds)
    vectors = [folder / EMBEDDED / f"fold{number}.safetensors" for number in range(FOLDS)]
    for path, model in zip(vectors, models, strict=True):
        embed(folder, model, path)
    (folder / EMBEDDED / "done.json").write_text(json.dumps({"embeddings": [str(path) for path in vectors]}))
    files = Inputs(
        cohort=folder / "nsclc.parquet",
        splits=[folder / f"splits_{number}.csv" for number in range(FOLDS)],
        expression=folder / "nsclc-rna.parquet",
        genes=[folder / GENES_OF / f"fold{number}.tsv" for number in range(FOLDS)],
        embeddings=[folder / EMBEDDED / "done.json"],
        models=[Path(model) for model in models],
    )
    params = Params(
        cohort=PAIR,
        method="mirror",
        protocol=HONEST,
        tasks=["subtyping", "survival"],
        seeds=[1],
        bins=4,
        settings={"family": "mirror", "adapt": ADAPT},
        probe=PROBE,
        rna=Rna(clip=None),
        saved=ModelPlace(str(folder / "results"), PAIR, "phikon", "mirror"),
        planned=planned(str(folder / "plan.json"), {}),
    )
    return Pair(folder, files, params, folds)


def embed(folder: Path, model: str, path: Path, **settings: object) -> None:
    units = to_units(target_people([f"T{number:02}" for number in range(PEOPLE)]), "patient")
    if (folder / "nsclc.parquet").exists():
        units = to_units(pd.read_parquet(folder / "nsclc.parquet"), "patient")
    chosen = {"mode": "frozen", "draws": 1} | settings
    embed_target_fold(units, folder / "nsclc.tsv", Path(model).parent, path, chosen, seed=1, threads=1, device="cpu")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    made = prepared(tmp_path_factory.mktemp("pair"))
    made.run()
    return made


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("epoch", ["last", "best_on_evaluation"])
def test_an_adapted_model_from_its_file_gives_its_stored_predictions(tmp_path, epoch, standardize):
    pair = prepared(tmp_path)
    probe = PROBE | {"standardize": standardize}
    pair.run(protocol=HONEST | {"epoch": epoch, "probe_features": "resampled_dropout"}, probe=probe)
    scope = f"patient-site_preserved-fold-train-{epoch}-fold-resampled_dropout"
    for task in ("subtyping", "survival"):
        for number, fold in enumerate(pair.folds):
            saved = load_trained(
                tmp_path / f"results/{scope}/{PAIR}/models/phikon/mirror/{task}/all/seed1/fold{number}"
            )
            assert saved.config["trained_on_patients"] == patients_digest(fold.train)
            assert len(pd.read_csv(saved.folder / "history.csv")) == PROBE["epochs"]
            rows = read_predictions(pair.manifest.parent / task / f"fold{number}.parquet").rows
            expression = read_expression(pair.files.expression, patients=list(rows["patient"]), genes=saved.genes)
            embedded = read_embeddings(tmp_path / EMBEDDED / f"fold{number}.safetensors")
            slides = embedded.slide[:, [embedded.units.index(name) for name in rows["patient"]]]
            raw = RawUnits(rows, expression=np.asarray(expression.values, np.float32), vectors=slides)
            prediction = saved.predict(saved.prepare(raw))
            values = prediction.probabilities if task == "subtyping" else prediction.survival
            np.testing.assert_array_equal(values, rows.filter(regex="^(prob|surv)_"))


def test_an_adapted_model_says_of_new_slides_and_genes_what_it_says_of_its_own(pair):
    """From bags and expression as a user has them: its source's encoder embeds them by itself."""
    for task in ("subtyping", "survival"):
        (folder,) = (pair.folder / "results").glob(f"*/{PAIR}/models/phikon/mirror/{task}/all/seed1/fold0")
        model = RunModel(load_trained(folder))
        rows = read_predictions(pair.manifest.parent / task / "fold0.parquet").rows
        names = list(rows["patient"])
        bags = [read_features(pair.folder / f"{name}-1.h5")[0] for name in names]
        found = read_expression(pair.files.expression, patients=names)
        expression = pd.DataFrame(found.values, index=found.patients, columns=found.ids)
        assert model.needs == ["rna", "slides"]
        said = model.predict(names, bags=bags, expression=expression)
        stored = rows.filter(regex="^(prob|surv)_").to_numpy()
        values = said if task == "subtyping" else said.filter(like="survival_")
        np.testing.assert_allclose(values, stored, atol=1e-6)


def test_an_adapted_model_leaves_the_frozen_weights_to_its_source(pair):
    folder = next((pair.folder / "results").rglob("model.safetensors")).parent
    saved, size = load_trained(folder), (folder / "model.safetensors").stat().st_size
    source = saved.source().state_dict()
    own = {name.removeprefix("model.network.") for name in saved.arrays if name.startswith("model.network.")}
    assert own < set(source)
    assert size < (Path(pair.files.models[0]).parent / "model.safetensors").stat().st_size
    moved = pair.folder / "moved"
    copytree(folder, moved)
    with pytest.raises(InputError, match="no finished model there; run pretrain first"):
        load_trained(moved).source()
    config = {**saved.config, "inputs": {**saved.config["inputs"], "model": "another"}}
    with pytest.raises(InputError, match="is another than it was trained on; train again"):
        dataclasses.replace(saved, config=config).source()


def test_predictions_are_what_the_contract_says(pair):
    manifest = json.loads(pair.manifest.read_text())
    assert manifest["skipped"] == {}
    assert len(manifest["written"]) == 2 * FOLDS
    for task in ("subtyping", "survival"):
        rows = pair.rows(task)
        assert sorted(rows["patient"]) == sorted(f"T{number:02}" for number in range(PEOPLE))
        assert set(rows["setting"]) == {"all"}
        for number, fold in enumerate(pair.folds):
            assert set(rows.loc[rows["fold"] == number, "patient"]) == set(fold.val)
    np.testing.assert_allclose(pair.rows("subtyping").filter(like="prob_").sum(1), 1)
    notes = read_predictions(pair.manifest.parent / "survival/fold0.parquet").notes["settings"][0]
    assert notes["train_patients"] == PEOPLE // 2
    assert notes["gene_labels"] == PEOPLE // 2
    assert len(notes["bin_edges_days"]) == 4


def test_a_planted_signal_is_found(pair):
    assert pair.accuracy() > 0.85
    rows = pair.rows("survival")
    early = rows["patient"].str[1:].astype(int) % 2 == 1
    assert rows.loc[early, "risk"].mean() > rows.loc[~early, "risk"].mean()


def test_a_shuffled_one_is_not(tmp_path):
    mixed = prepared(tmp_path, shuffled=True)
    mixed.run(tasks=["subtyping"])
    assert abs(mixed.accuracy() - 0.5) < 0.25


def test_models_are_read_and_never_written(pair):
    folder = Path(pair.files.models[0]).parent
    before = load_file(folder / "model.safetensors")
    age = (folder / "model.safetensors").stat().st_mtime_ns
    pair.run()
    assert (folder / "model.safetensors").stat().st_mtime_ns == age
    assert before["network.rna_encoder.embed.0.weight"].shape[1] == 7  # the source's genes; the target has nine


def test_a_second_run_rewrites_nothing_and_what_was_lost_comes_back_the_same(pair):
    before, ages = pair.rows("survival"), pair.ages()
    pair.run()
    assert pair.ages() == ages
    (pair.manifest.parent / "survival/fold1.parquet").unlink()
    pair.run()
    assert {name for name, age in pair.ages().items() if age != ages[name]} == {"survival/fold1.parquet"}
    pd.testing.assert_frame_equal(pair.rows("survival"), before)


def test_other_settings_of_the_embedding_make_other_predictions(tmp_path):
    made = prepared(tmp_path)
    made.run(tasks=["subtyping"])
    before = made.rows("subtyping")
    slower = made.params.settings | {"adapt": ADAPT | {"embedding_learning_rate": 1e-5}}
    made.run(tasks=["subtyping"], settings=slower)
    assert not np.allclose(made.rows("subtyping")["prob_a"], before["prob_a"])


def test_the_published_protocol_is_followed_and_a_nested_epoch_is_the_last(tmp_path):
    made = prepared(tmp_path)
    paper = HONEST | {"epoch": "best_on_evaluation", "probe_features": "resampled_dropout"}
    for number, model in enumerate(made.files.models):
        path = tmp_path / EMBEDDED / f"fold{number}.safetensors"
        embed(tmp_path, model, path, mode="resampled_dropout", draws=3)
        assert read_embeddings(path).slide.shape == (3, PEOPLE, 48)
    made.run(tasks=["subtyping"], protocol=paper)
    notes = read_predictions(made.manifest.parent / "subtyping/fold0.parquet").notes
    assert notes["protocol"]["epoch"] == "best_on_evaluation"
    assert 1 <= notes["settings"][0]["epoch"] <= PROBE["epochs"]
    assert adapted_protocol(HONEST | {"epoch": "nested"})["epoch"] == "last"


def test_slide_vectors_are_kept_and_made_again_for_another_model(tmp_path):
    made = prepared(tmp_path)
    path, model = tmp_path / EMBEDDED / "fold0.safetensors", made.files.models[0]
    age = path.stat().st_mtime_ns
    embed(tmp_path, model, path)
    assert path.stat().st_mtime_ns == age
    assert model_digest(Path(model).parent) != model_digest(Path(made.files.models[1]).parent)
    embed(tmp_path, made.files.models[1], path)
    assert path.stat().st_mtime_ns != age


def test_a_slide_that_changes_its_patient_is_embedded_anew(tmp_path):
    model = Path(prepared(tmp_path).files.models[0]).parent
    path, vectors = tmp_path / "two.safetensors", []
    for slides in ([["T00-1", "T01-1"], ["T02-1"]], [["T00-1"], ["T01-1", "T02-1"]]):
        units = pd.DataFrame({"unit": ["x", "y"], "patient": ["x", "y"], "slide_ids": slides})
        chosen = {"mode": "frozen", "draws": 1}
        embed_target_fold(units, tmp_path / "nsclc.tsv", model, path, chosen, seed=1, threads=1, device="cpu")
        vectors.append(read_embeddings(path).slide)
    assert not np.allclose(vectors[0][:, 0], vectors[1][:, 0])


def test_features_of_another_width_are_refused(tmp_path):
    models = write_source(tmp_path, patch_dim=4)
    write_target(tmp_path, target_people([f"T{number:02}" for number in range(PEOPLE)]), [], patch_dim=5)
    with pytest.raises(InputError, match=r"features are 5 wide, but .* was pretrained on 4: make the features of both"):
        embed(tmp_path, models[0], tmp_path / "none.safetensors")


# The auditor.


def test_the_audit_of_a_pair_names_whom_the_encoders_have_seen(pair):
    record = pair.audit()
    assert record["cohort"] == "nsclc--from--brca"
    assert record["leaks"] == 0
    seen = {line["what"]: line for line in record["seen"]}
    line = seen["pretraining on brca and RNA and patch scaler of mirror (phikon, seed1)"]
    assert (line["patients"], line["of_evaluation"]) == (len(SOURCE_TRAIN), 0)


def test_a_protocol_that_asks_for_a_nested_epoch_is_told_that_it_got_the_last(pair):
    record = pair.audit(epoch="nested")
    (finding,) = [one for one in record["findings"] if one["kind"] == "epoch_of_predictions"]
    assert finding["level"] == "warning"
    assert finding["text"] == "predictions were made with epoch: last, the protocol says nested"
    assert record["leaks"] == 0


def test_patients_of_both_cohorts_who_are_evaluated_are_a_leak(tmp_path):
    names = [f"T{number:02}" for number in range(PEOPLE)]
    names[0], names[1] = SOURCE_TRAIN[0], SOURCE_PATIENTS[-1]  # pretrained on; held out in the source's folds
    made = prepared(tmp_path, names=names)
    made.run(tasks=["subtyping"])
    record = made.audit()
    leaks = {(one["kind"], one["fold"]): one for one in record["findings"] if one["level"] == "leak"}
    assert set(leaks) == {("source_pretraining", 0), ("source_gene_labels", 0)}
    assert leaks["source_pretraining", 0]["examples"] == [SOURCE_TRAIN[0]]
    assert "who are in brca as well" in leaks["source_pretraining", 0]["text"]
    with pytest.raises(MirrorflowError, match="claims to be honest and has 2 leaks"):
        fail_on_leak(str(tmp_path / "nsclc--from--brca.json"), strict=True)


# Rows of the results.


def test_a_pair_has_rows_beside_the_published_ones(pair):
    record = pair.audit()
    assert record["leaks"] == 0
    metrics = pair.folder / "metrics.tsv"
    settings = {"bootstrap": 20, "confidence": 0.95, "seed": 0, "reference": "concat-linear", "strict": True}
    audit = str(pair.folder / "nsclc--from--brca.json")
    evaluate([str(pair.manifest)], pair.files.cohort, pair.files.splits, str(metrics), settings, audit=audit)
    results = pair.folder / "results.csv"
    cohort = {"slides": {"sheet": "slides.tsv"}, "clinical": {"sheet": "patients.tsv"}, "expression": "own"}
    cohort |= {"encoders": ["phikon"], "features": {"phikon": "elsewhere"}}
    run = {"run": "test", "cohorts": {"brca": cohort, "nsclc": cohort}, "methods": {"mirror": {}}}
    run |= {"expression": {"sources": {"own": {"matrix": "rna.tsv"}}}, "adaptation": {"brca": {"targets": ["nsclc"]}}}
    config = settings_compared(resolve(run))
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    make_results([str(metrics)], str(published), str(names), str(results), config)
    table = read_numbers(results, NUMBERS).set_index("metric")
    assert table.loc["accuracy", "published_mean"] == 0.993
    assert table.loc["c_index", "published_mean"] == 0.602
    assert table.loc["accuracy", "mean"] > 0.85
    assert set(table["comparable"]) == {"no"}
    assert table["why_not"].str.contains("adaptation: the paper does not say").all()
    assert table["delta"].isna().all()
