"""Encoders pretrained on the tiny cohort, taken through Snakemake to a second one with other patients and genes."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from mirrorflow.learners.saved import RawUnits, load_trained
from mirrorflow.reuse.patients import new_patients
from mirrorflow.reuse.predict import predict_patients
from mirrorflow.reuse.request import Request
from mirrorflow.reuse.run_folder import open_run
from mirrorflow.store.digest import file_digest
from mirrorflow.store.embeddings import RECORD, read_embeddings
from mirrorflow.store.expression import read_expression
from mirrorflow.store.models import model_digest
from mirrorflow.store.predictions import read_predictions
from runner import CONFIGS, changed_config, copy_run, planned_from, succeed

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
PAIR = "second--from--tiny"
METHODS, FOLDS = {"mirror", "tangle"}, 2
WANTED = [
    *(f"results/tiny/tables/adaptation_{task}.csv" for task in ("subtyping", "survival")),
    f"results/tiny/audit/honest/{PAIR}.passed",
    f"results/tiny/figures/{PAIR}",
]


def second_cohort(folder: Path) -> dict[str, Any]:
    """Another cohort beside the tiny run: other patients with features of their own, and half of its transcripts."""
    cohort = pd.read_parquet(folder / "results/tiny/cohort/tiny.parquet")
    named = cohort.assign(patient="second-" + cohort["patient"], time=cohort["time_days"])
    slides = named.explode("slide_ids").rename(columns={"slide_ids": "slide_id"})
    slides[["slide_id", "patient"]].to_csv(folder / "slides.tsv", sep="\t", index=False)
    named[["patient", "label", "time", "event", "site"]].to_csv(folder / "patients.tsv", sep="\t", index=False)
    stored = pd.read_parquet(folder / "store/expression/tiny/tiny.parquet").set_index("id")
    stored[cohort["patient"]].add_prefix("second-").iloc[::2].to_csv(folder / "rna.tsv", sep="\t")
    return {
        "simulated": True,
        "slides": {"sheet": "slides.tsv"},
        "clinical": {"sheet": "patients.tsv"},
        "site": "column",
        "expression": "second",
        "encoders": ["resnet50-random"],
        "features": {"resnet50-random": "features-of-second"},
    }


def other_features(source: Path, target: Path) -> None:
    """The slides of ``source`` as another scanner might have seen them: values close by, none the same."""
    target.mkdir()
    for path in source.glob("*.h5"):
        with h5py.File(path) as found, h5py.File(target / path.name, "w") as made:
            made["features"], made["coords"] = found["features"][:] * np.float32(1.01), found["coords"][:]


@dataclass(frozen=True)
class Adapted:
    """A run with the pair: what Snakemake said, the results and the digests of the source's models before it."""

    results: Path
    said: str
    models: dict[str, str]


def model_files(results: Path) -> dict[str, str]:
    """Digests of the weights of every pretrained model."""
    found = results.glob("*/*/models/*/*/seed*/*/model.safetensors")
    return {str(path.relative_to(results)): file_digest(path) for path in found}


@pytest.fixture(scope="module")
def adapted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    folder = copy_run(tiny, tmp_path_factory.mktemp("adapted") / "run")
    config = changed_config(
        folder,
        TINY,
        **{
            "cohorts.second": second_cohort(folder),
            "expression.sources.second": {"matrix": "rna.tsv", "sample_ids": "patient"},
            "protocols": {"honest": {}},
            "methods": {"concat-linear": {}, **{name: {"cohorts": ["tiny"]} for name in sorted(METHODS)}},
            "adaptation": {"tiny": {"targets": ["second"]}},
        },
    )
    other_features(folder / "store/features/tiny/256px-20x/resnet50-random", folder / "features-of-second")
    models = model_files(folder / "results/tiny")
    said = succeed(folder, config, *WANTED)
    return Adapted(folder / "results/tiny", said, models)


def test_both_tables_and_the_results_have_the_pair(adapted: Adapted) -> None:
    for task in ("subtyping", "survival"):
        table = pd.read_csv(adapted.results / f"tables/adaptation_{task}.csv")
        cells = [column for column in table if column.startswith("second from tiny, all, ")]
        assert cells
        assert set(table["method"]) == {"MIRROR", "TANGLE"}
        assert table[cells].notna().all(axis=None)
    rows = pd.read_csv(adapted.results / "tables/results.csv").query("cohort == @PAIR")
    assert set(rows["setting"]) == {"all"}
    assert rows.query("metric in ['accuracy', 'c_index']")["mean"].between(0, 1).all()
    assert set(rows["comparable"]) == {"no"}
    assert set(rows["reference"].dropna()) == {"concat-linear"}


def test_the_audit_finds_no_leak(adapted: Adapted) -> None:
    audit = json.loads((adapted.results / f"audit/honest/{PAIR}.json").read_text())
    assert [finding for finding in audit["findings"] if finding["level"] == "leak"] == []


def test_nothing_is_pretrained_and_the_sources_weights_stay_to_the_bit(adapted: Adapted) -> None:
    assert adapted.models
    assert model_files(adapted.results) == adapted.models
    jobs = planned_from(adapted.said)
    assert (jobs["adapt"], jobs["embed_target"]) == (2, 2)
    # with a second cohort each case of a rule has a job of its own: those of the first are looked at, and kept
    for rule, work in (("pretrain_mirror", "epochs"), ("extract_features", "patches, ")):
        assert not [line for line in adapted.said.splitlines() if line.startswith(f"[{rule}") and work in line]


def test_slides_go_through_the_sources_encoder_of_the_same_fold(adapted: Adapted) -> None:
    files = sorted(adapted.results.glob(f"*/{PAIR}/embeddings/*/*/seed*/frozen/fold*.safetensors"))
    assert len(files) == len(METHODS) * FOLDS
    for path in files:
        encoder, method, seed, _ = path.parent.parts[-4:]
        source = path.parents[6] / "tiny/models" / encoder / method / seed / path.stem
        assert made_with(path)["model"] == model_digest(source)


@pytest.mark.usefixtures("threads_of_a_small_job")
def test_the_pairs_models_from_their_files_give_their_stored_predictions(adapted: Adapted) -> None:
    found = sorted(adapted.results.glob(f"*/{PAIR}/models/*/*/*/all/seed*/fold*/model.safetensors"))
    assert len(found) == len(METHODS) * FOLDS * 2
    for saved in (load_trained(path.parent) for path in found):
        config, run = saved.config, adapted.results.parents[1]
        folder = adapted.results / f"predictions/honest/{PAIR}/{config['encoder']}/{config['method']}/{config['task']}"
        rows = read_predictions(folder / f"fold{config['fold']}.parquet").rows
        of_method = adapted.results / config["model_scope"] / PAIR / "embeddings" / config["encoder"] / config["method"]
        embedded = read_embeddings(of_method / f"seed{config['seed']}/frozen/fold{config['fold']}.safetensors")
        slides = embedded.slide_eval[:, [embedded.units.index(name) for name in rows["patient"]]]
        expression = str(run / "store/expression/second/second.parquet")
        values = [read_expression(expression, patients=[name], genes=saved.genes).values for name in rows["patient"]]
        raw = RawUnits(rows, expression=np.concatenate(values).astype(np.float32), vectors=slides)
        prediction = saved.predict(saved.prepare(raw))
        found_values = prediction.probabilities if config["task"] == "subtyping" else prediction.survival
        np.testing.assert_array_equal(found_values, rows.filter(regex="^(prob|surv)_"))


def test_a_patient_of_the_source_is_asked_of_the_fold_that_did_not_pretrain_on_it(adapted: Adapted) -> None:
    run = open_run(adapted.results)
    index = run.features("tiny", "resnet50-random")
    assert index is not None
    cohort, _ = run.cohort("tiny")
    scope = next(iter(sorted(path.parts[-4] for path in adapted.results.glob("*/tiny/splits/splits_0.csv"))))
    folds = [run.source_fold(scope, PAIR, k) for k in range(FOLDS)]
    name = next(one for one in cohort["patient"] if folds[0] and one in folds[0].train)
    mine = index[index["patient"] == name]
    files = {row.slide_id: Path(row.path) for row in mine.itertuples()}
    expression = read_expression(adapted.results.parents[1] / "store/expression/second/second.parquet")
    values = dataclasses.replace(expression, patients=[name], values=expression.values[:1])
    asked = new_patients(mine[["slide_id", "patient"]].assign(patient=name), files, values, None)
    made = predict_patients(run, asked, Request(protocol="honest", cohort=PAIR))
    rows = made.tables["subtyping_folds"]
    assert set(rows["of_run"]) == {name}
    assert 0 not in set(rows["fold"])


def made_with(embeddings: Path) -> dict[str, Any]:
    """What embeddings say they were made with."""
    with safe_open(str(embeddings), framework="np") as stream:
        return json.loads(json.loads(stream.metadata()[RECORD])["settings"])


def test_the_pairs_figures_are_drawn_and_those_of_target_and_source_are_not_repeated(adapted: Adapted) -> None:
    record = json.loads((adapted.results / f"figures/{PAIR}/figures.json").read_text())
    kinds = {figure["kind"] for figure in [*record["figures"], *record["left_out"]]}
    assert kinds == {"forest", "ranks", "classification", "survival_curves", "over_time"}
    forests = [figure for figure in record["figures"] if figure["kind"] == "forest"]
    assert len(forests) == 2
    assert all("adapted to second" in figure["caption"] for figure in forests)
