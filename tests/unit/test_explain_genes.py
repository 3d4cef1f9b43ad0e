"""Rule explain_genes: attributions find planted genes, come from the right fold, and are refused where they miss."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from labelled_cohort import Store
from mirrorflow.config.probe_settings import Probe
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.importance import (
    agreement,
    benjamini_hochberg,
    by_symbol,
    overlap,
    ranks,
    set_tests,
    shares,
)
from mirrorflow.figures.gene_bars import GeneBars, draw_gene_bars
from mirrorflow.learners import permuted
from mirrorflow.learners.coefficients import gene_coefficients
from mirrorflow.learners.differentiable import Differentiable, of_network, random_network, stored_network
from mirrorflow.learners.saved import SavedModel, load_trained
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.linear_head import HeadSettings, fit_head
from mirrorflow.probes.objective import ClassReadout, HazardReadout
from mirrorflow.probes.task import EpochRule, Targets
from mirrorflow.steps.explained import fold_models, gene_attributions, network_fold
from mirrorflow.steps.explained.explain_genes import Inputs, Params, explain_genes
from mirrorflow.steps.explained.fold_models import MEAN, RANDOM, SAMPLES, ZERO
from mirrorflow.steps.explained.gene_attributions import FoldFound, spread
from mirrorflow.steps.explained.gene_pictures import equal_share
from mirrorflow.steps.explained.gene_tables import census_table, gene_table, measures, set_table
from mirrorflow.steps.results import figure_files
from mirrorflow.store.tables import read_fold
from mirrorflow.training.gradients import Attributed, Seen, attributed

SETTINGS: dict[str, Any] = {
    "patients": 2, "patches": 4, "samples": 2, "bound": 0.05, "top": 2, "compared": 2, "nulls": 1, "retrained": 0,
}  # fmt: skip
ONE = {"patients": 1, "samples": 1}
UNIT = {"unit": "patient"}


# the gradient


def seen(genes: list[float], slide: list[float] | None = None) -> Seen:
    return Seen(torch.tensor([slide or [0.0]]), torch.tensor(genes))


def test_attributions_of_slide_and_genes_add_up_to_the_change() -> None:
    def answer(slides: Tensor, genes: Tensor) -> Tensor:
        return genes[:, 0] ** 2 + 3 * genes[:, 1] * slides[:, 0, 0]

    found = attributed(answer, seen([2.0, 1.0, 5.0], [4.0]), [seen([0.0, 0.0, 0.0], [0.0])], 0.01)
    assert found.values == pytest.approx([4.0, 6.0, 0.0], abs=1e-4)  # half of the product is the slide's
    assert found.change == pytest.approx(16.0)
    assert found.error < 1e-5
    assert found.steps == 50


def test_a_path_from_one_patient_keeps_slide_and_genes_together() -> None:
    def answer(slides: Tensor, genes: Tensor) -> Tensor:
        return genes[:, 0] * slides[:, 0, 0]

    baselines = [seen([1.0], [1.0]), seen([-1.0], [-1.0])]
    # from (1, 1) and from (-1, -1) to (2, 2): changes of 3 each; mixed patients would change by 5
    assert attributed(answer, seen([2.0], [2.0]), baselines, 0.01).change == pytest.approx(3.0)


def test_steps_are_raised_and_what_still_misses_says_so() -> None:
    def step(slides: Tensor, genes: Tensor) -> Tensor:
        return torch.sigmoid(4000 * (genes[:, 0] - 0.4999))

    assert attributed(step, seen([1.0]), [seen([0.0])], 1e-9).steps == 400
    flat = attributed(lambda slides, genes: genes[:, 0].round(), seen([1.0]), [seen([0.0])], 0.05)
    assert flat.error == pytest.approx(1.0)  # no gradient: nothing of the change is met
    constant = attributed(lambda slides, genes: 0 * genes[:, 0], seen([1.0]), [seen([0.0])], 0.05)
    assert constant.error == np.inf


def risk_of(planted: list[int], genes: int = 40) -> Differentiable:
    """An SNN whose first layer sees the planted genes alone."""
    settings = {"width": 16, "layers": 2, "dropout": 0.5}
    network = build_network("snn", Sizes(0, genes, 4), settings, seed=3)
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        first.weight[:, [at for at in range(genes) if at not in planted]] = 0
    return of_network(network, {}, {"task": "survival", "epoch": 1})


def test_planted_genes_are_on_top() -> None:
    planted, rng = [4, 17, 31], np.random.default_rng(0)
    model, values = risk_of(planted), []
    for _ in range(6):
        unit = seen(rng.normal(size=40).astype(np.float32).tolist())
        found = attributed(model.answer(unit), unit, [seen([0.0] * 40)], 0.05)
        assert found.error <= 0.05  # in evaluation mode: dropout would miss far more
        values.append(found.values)
    importance = np.abs(shares(np.stack(values))).mean(0)
    assert set(np.argsort(-importance)[:3]) == set(planted)
    assert importance[[at for at in range(40) if at not in planted]].max() == 0


def test_weights_drawn_anew_keep_what_was_fitted() -> None:
    network = build_network("abmil", Sizes(3, 0, 2), {"width": 8, "attention_width": 4}, seed=1)
    network.scale_patches(torch.tensor([1.0, 2.0, 3.0]), torch.ones(3))
    config = {
        "family": "abmil", "network": {"width": 8, "attention_width": 4},
        "sizes": {"patch_dim": 3, "gene_count": 0, "outputs": 2, "gene_sets": []},
    }  # fmt: skip
    drawn = random_network(network, config, seed=9)
    assert torch.equal(drawn.patch_mean, network.patch_mean)
    changed = [not torch.equal(a, b) for a, b in zip(drawn.parameters(), network.parameters(), strict=True)]
    assert any(changed)


def test_the_answer_is_the_log_odds_of_the_predicted_class_or_the_risk() -> None:
    def logits(slides: Tensor, genes: Tensor) -> Tensor:
        return torch.stack([genes[:, 0], 2 * genes[:, 0], 0 * genes[:, 0]], dim=1)

    unit = seen([1.0])
    found = Differentiable(logits, ClassReadout(), 1, ("a", "b", "c")).answer(unit)
    share = torch.tensor([1.0, 2.0, 0.0]).double().softmax(0)[1]
    assert float(found(unit.slide[None], unit.genes[None])) == pytest.approx(
        float(torch.log(share / (1 - share))), abs=1e-6
    )
    model = Differentiable(logits, HazardReadout(), 1, ())
    assert float(model.answer(unit)(unit.slide[None], unit.genes[None])) == pytest.approx(model.predict(unit).risk[0])
    with pytest.raises(InputError, match="one class"):
        Differentiable(logits, ClassReadout(), 1, ("a",)).answer(unit)


# shares and what holds of them


def test_shares_ranks_and_symbols() -> None:
    assert shares(np.array([[1.0, -3.0], [0.0, 0.0]])).tolist() == [[0.25, -0.75], [0.0, 0.0]]
    assert ranks(np.array([0.1, 0.5, 0.5])).tolist() == [3, 1, 2]
    assert by_symbol(np.array([1.0, 2.0, 3.0]), ["A", "B", "A"]) == {"A": 2.0, "B": 2.0}
    assert agreement(np.arange(4.0), np.arange(4.0) ** 3) == pytest.approx(1.0)
    assert np.isnan(agreement(np.arange(4.0), np.ones(4)))


def test_overlap_of_folds_is_held_against_chance() -> None:
    first = {f"g{i}": 10.0 - i for i in range(10)}
    second = dict(first) | {"g0": -1.0, "other": 99.0}  # g1, g2 stay on top of what both have
    found = overlap([first, second], top=2)
    assert found is not None
    assert (found.pairs, found.shared, found.expected) == (1, 1.0, pytest.approx(0.4))
    assert found.largest_p == pytest.approx(1 - 28 / 45)  # of 45 pairs of genes 28 share none of two
    assert overlap([first, {"none": 1.0}], top=2) is None


def test_sets_are_tested_against_the_models_own_genes() -> None:
    importance = {f"g{i}": 30.0 - i for i in range(30)}
    sets = {"top": [f"g{i}" for i in range(6)] + ["X"], "odd": [f"g{i}" for i in range(1, 30, 3)], "few": ["g1", "g2"]}
    tested, left_out = set_tests(importance, sets)
    assert left_out == ["few"]
    assert [one.name for one in tested] == ["top", "odd"]
    assert (tested[0].genes, tested[0].of, tested[0].above) == (6, 7, 1.0)
    assert tested[0].q == pytest.approx(2 * tested[0].p)
    assert tested[0].p < 1e-3 < tested[1].p


def test_benjamini_and_hochberg() -> None:
    assert benjamini_hochberg([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.04, 0.04, 0.5])


def fold_of(number: int, values: dict[str, list[float]], left_out: int = 0) -> FoldFound:
    signed = {kind: np.array(list(values.values())).T for kind in (MEAN, ZERO, SAMPLES)}
    patients = [{"unit": f"u{i}", "baseline": MEAN, "steps": 50, "left_out": i < left_out} for i in range(2 + left_out)]
    return FoldFound(number, 1, list(values), signed, patients, [(RANDOM, signed[MEAN][0][::-1])])


def test_a_gene_that_one_fold_lacks_does_not_lose_by_it() -> None:
    folds = [
        fold_of(0, {"a": [0.2, -0.2], "b": [0.5, 0.5], "c": [0.3, 0.3]}),
        fold_of(1, {"a": [0.4, 0.4], "c": [0.6, 0.6]}),
    ]
    table = gene_table(folds, {"a": "A", "b": "B", "c": "C"}, {"a"}, {"cox": [{"a": 3.0, "c": 1.0}, {}]})
    assert table["id"].tolist() == ["b", "c", "a"]
    assert table["share"].tolist() == [0.5, 0.45, 0.3]
    assert table["rank_by_fold"].tolist() == ["1 -", "2 1", "3 2"]
    assert table["folds"].tolist() == [1, 2, 2]
    assert table["direction"].tolist() == [0.5, 0.45, 0.2]
    assert table["rank_cox"].tolist() == ["", 2, 1]
    assert census_table(table, 10)["rank"].tolist() == [3]
    found = measures(folds, {"cox": [{"a": 3.0, "c": 1.0}, {}]}, SETTINGS).groupby(["measure", "of"])["value"].max()
    assert found["units kept", MEAN] == 2
    assert found["top 2 shared by two folds", "the models"] == 2
    assert set_table(table, {"S": ["A", "B"]})["genes"].tolist() == [2]


def test_patients_are_spread_over_sorted_names() -> None:
    assert spread(list("edcba"), 3) == ["a", "c", "e"]
    assert spread(list("ba"), None) == ["a", "b"]


# saved models


@pytest.fixture(autouse=True)
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("to_svg", "to_png"):
        monkeypatch.setattr(figure_files, name, lambda figure: b"")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, Path]]:
    """A cohort, and three methods trained on it: to look at."""
    store = Store(tmp_path_factory.mktemp("genes"))
    found = {}
    for family in ("porpoise", "linear", "cox"):
        place = ModelPlace(str(store.folder / "results"), "c", "uni", family, "all-data")
        tasks = ["survival"] if family == "cox" else ["subtyping", "survival"]
        plan = store.plan(family, saved=place, shots=[], tasks=tasks)
        inputs = store.inputs(inputs=["slides", "rna"]) if family == "porpoise" else pooled(store)
        folder = store.predict(plan, inputs, f"results/predictions/honest/c/uni/{family}")
        found[family] = folder / "manifest.json"
    return store, found


def pooled(store: Store) -> Any:
    from mirrorflow.cohorts.patients import to_units
    from mirrorflow.learners.inputs.vectors import PooledInputs

    genes = [str(store.folder / f"genes{fold}.tsv") for fold in range(2)]
    units, index, rna = (
        to_units(store.frame, "patient"),
        str(store.folder / "index.tsv"),
        str(store.folder / "rna.parquet"),
    )
    return PooledInputs(units, ["slides", "rna"], "mean", index, rna, genes, "train", None)


Explained = Callable[..., tuple[dict[str, str], dict[str, str], Path]]


@pytest.fixture
def explained(whole: tuple[Store, dict[str, Path]], tmp_path: Path) -> Explained:
    store, manifests = whole
    (tmp_path / "census.txt").write_text("G1\nG9\n")

    def explain(method: str = "porpoise", settings: dict[str, Any] | None = None, **files: Any) -> Any:
        splits = [store.folder / f"splits_{fold}.csv" for fold in range(2)]
        given = Inputs(
            store.folder / "cohort.parquet", manifests[method], splits, store.folder / "rna.parquet",
            store.folder / "index.tsv", linear=[manifests["linear"], manifests["cox"]], census=tmp_path / "census.txt",
            gene_sets=store.folder / "sets.csv",
        )  # fmt: skip
        folder = tmp_path / f"attributions/honest/c/uni/{method}"
        explain_genes(replace(given, **files), Params(UNIT, SETTINGS | (settings or {}), {"tiers": [1, 2]}), folder)
        record = json.loads((folder / "figures.json").read_text())
        captions = {one["name"]: one["caption"] for one in record["figures"]}
        return captions, {one["name"]: one["why"] for one in record["left_out"]}, folder

    return explain


def test_patients_are_asked_of_the_model_that_was_not_trained_on_them(
    whole: tuple[Store, dict[str, Path]], explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = whole
    asked: list[Any] = []
    original = gene_attributions.fold_model
    monkeypatch.setattr(
        gene_attributions, "fold_model", lambda given, files: asked.append(given) or original(given, files)
    )
    captions, left_out, folder = explained()
    assert not left_out
    assert set(captions) == {"subtyping_census", "survival_census"}
    assert len(asked) == 4
    for one in asked:
        fold = read_fold(store.folder / f"splits_{one.saved.config['fold']}.csv")
        assert set(one.evaluation["patient"]) <= set(fold.val) - set(fold.train)
        assert set(one.training["patient"]) | set(one.drawn()) <= set(fold.train)
    said = captions["survival_census"]
    for part in (
        "neither baseline, target, patients nor fold",
        "not trained on it",
        "4 evaluation patients",
        "0 left out",
    ):
        assert part in said
    genes = pd.read_csv(folder / "survival_genes.csv")
    assert set(genes["id"]) == {"t0", "t1", "t3"}
    assert genes.loc[genes["census"], "symbol"].tolist() == ["G1"]
    assert {"rank_linear", "rank_cox", "share_zero", "share_training_patients", "share_random_weights"} <= set(genes)
    patients = pd.read_csv(folder / "survival_patients.csv")
    assert patients.groupby("baseline").size().tolist() == [4, 4, 4]
    assert (patients["error"] <= 0.05).all()
    assert "ONE" in (folder / "survival_sets.csv").read_text()


def test_the_same_numbers_twice(explained: Explained) -> None:
    def made() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in explained(settings=ONE)[2].glob("*.csv")}

    assert made() == made()


def test_patients_whose_attributions_miss_are_left_out_and_counted(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        gene_attributions, "attributed", lambda *_: Attributed(np.ones(3), change=1.0, error=0.2, steps=400)
    )
    _, left_out, folder = explained()
    assert set(left_out) == {"subtyping_census", "survival_census"}
    assert "all 4 patients miss the change of the answer by more than 0.05" in left_out["survival_census"]
    assert pd.read_csv(folder / "survival_patients.csv")["left_out"].all()


def test_a_network_is_trained_again_on_permuted_labels_as_it_was(
    whole: tuple[Store, dict[str, Path]], explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the outcomes as they are it comes out as the saved model itself; dealt anew it does not."""
    made: list[Differentiable] = []
    original = network_fold.permuted_network

    def kept(*given: Any) -> Differentiable:
        made.append(original(*given))
        return made[-1]

    monkeypatch.setattr(network_fold, "permuted_network", kept)
    captions, _, folder = explained(settings=ONE | {"nulls": 0, "retrained": 1})
    assert len(made) == 4
    assert "Marks: models of no meaning (labels permuted)" in captions["subtyping_census"]
    assert "A path has a draw of at most 4 patches of a bag; at the mean each of them is" in captions["survival_census"]
    assert "share_permuted_labels" in pd.read_csv(folder / "survival_genes.csv")
    dealt_anew = list(made)
    made.clear()
    monkeypatch.setattr(permuted, "dealt", lambda targets, seed: targets)
    explained(settings=ONE | {"nulls": 0, "retrained": 1})
    _, manifests = whole
    folders = json.loads(manifests["porpoise"].read_text())["models"]
    saved = [load_trained(Path(one)) for one in sorted(folders)]
    unit = Seen(torch.ones(3, int(saved[0].config["sizes"]["patch_dim"])), torch.zeros(3))
    for again, anew in zip(made, dealt_anew, strict=True):
        said = again.logits(unit.slide[None], unit.genes[None])
        stored = [of_network(stored_network(one.arrays, one.config), one.arrays, one.config) for one in saved]
        same = [model.logits(unit.slide[None], unit.genes[None]) for model in stored]
        assert any(one.shape == said.shape and torch.allclose(one, said, atol=1e-5) for one in same)
        assert not torch.allclose(anew.logits(unit.slide[None], unit.genes[None]), said, atol=1e-5)


@pytest.mark.parametrize("epoch", [2, 6])
def test_a_head_is_trained_again_on_permuted_labels_to_the_epoch_of_the_model(
    monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """With the classes as they are it comes out as the saved head itself, chosen early or not."""
    rng = np.random.default_rng(0)
    classes = np.arange(24) % 2
    targets = Targets(pd.DataFrame(index=range(24)), classes=classes)
    train = (rng.normal(size=(1, 24, 5)) + classes[None, :, None]).astype(np.float32)
    probe = asdict(Probe()) | {"epochs": 6, "learning_rate": 0.01}
    config = {"settings": {"probe": probe}, "task": "subtyping", "seed": 3, "classes": ["a", "b"], "epoch": epoch}
    settings = HeadSettings.of_probe(probe, "subtyping", 3)
    saved = fit_head(train, train, targets, 2, settings, EpochRule(stop_after=epoch))
    monkeypatch.setattr(permuted, "dealt", lambda given, seed: given)
    again = permuted.permuted_head(train, targets, config, seed=1)
    torch.testing.assert_close(again.weight, saved.arrays["weight"], rtol=0, atol=0)
    monkeypatch.undo()
    anew = permuted.permuted_head(train, targets, config, seed=1)
    assert not torch.allclose(anew.weight, again.weight)


def test_marks_of_nulls_and_ranks_stand_inside_the_axes_and_apart() -> None:
    share, null = np.array([0.02, 0.01]), np.array([0.05, 0.0])
    bars = GeneBars(["A", "B"], [3, 9], 50, share, share / 2, share * 1.5, {RANDOM: null}, 0.03)
    axes = draw_gene_bars(bars, "Genes").axes[0]
    high = axes.get_xlim()[1]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [pytest.approx(3.0)]
    ranks = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert set(ranks) == {"rank 3 of 50", "rank 9 of 50"}
    assert 5 < ranks["rank 3 of 50"] < high
    assert 1.5 < ranks["rank 9 of 50"] < 5


def test_models_of_no_meaning_are_others_in_each_fold() -> None:
    def seeds(fold: int) -> list[int]:
        saved = SavedModel(Path("m"), {}, {"fold": fold})
        return list(fold_models.Asked(saved, pd.DataFrame(), pd.DataFrame(), {"nulls": 2, "retrained": 1}).seeds())

    assert len({*seeds(0), *seeds(1), *seeds(2)}) == 6
    assert seeds(1) == seeds(1)


def test_an_equal_share_is_one_of_a_folds_genes() -> None:
    """Folds of two genes each, three genes in all: each has a half of its fold, not a third."""
    row = {"unit": "u", "baseline": MEAN, "left_out": False, "steps": 50}
    folds = [FoldFound(k, 1, ids, {MEAN: np.ones((1, 2)) / 2}, [row]) for k, ids in enumerate((["a", "b"], ["b", "c"]))]
    assert equal_share(folds) == pytest.approx(0.5)


def test_what_is_dealt_out_anew_stays_together() -> None:
    rng = np.random.default_rng(0)
    times, events = rng.random(30), rng.integers(0, 2, 30)
    found = permuted.dealt(Targets(pd.DataFrame({"unit": range(30)}), None, times, events, events + 2), seed=1)
    assert found.time_days is not None
    assert not np.array_equal(found.time_days, times)
    order = [list(times).index(time) for time in found.time_days]
    assert sorted(order) == list(range(30))
    np.testing.assert_array_equal(found.event, events[order])
    np.testing.assert_array_equal(found.bins, events[order] + 2)


def test_what_cannot_be_attributed_is_said(explained: Explained, tmp_path: Path) -> None:
    (tmp_path / "census.txt").write_text("G9\n")
    _, left_out, folder = explained(settings=ONE | {"nulls": 0})
    assert "none of the 3 genes of porpoise is in the census" in left_out["survival_census"]
    assert (folder / "survival_genes.csv").exists()
    _, left_out, _ = explained("linear")
    assert "has no network over genes" in left_out["survival_census"]
    _, left_out, _ = explained(index=None)
    assert "sees slides, and the rule has no index" in left_out["survival_census"]


def test_expression_that_changed_since_is_refused(
    whole: tuple[Store, dict[str, Path]], explained: Explained, tmp_path: Path
) -> None:
    from mirrorflow.store.expression import ExpressionWriter

    store, _ = whole
    with ExpressionWriter(tmp_path / "other.parquet", store.frame["patient"].tolist()) as writer:
        writer.add([f"t{i}" for i in range(4)], ["G1", "G2", "G2", "G3"], np.full((4, 30), 9.0, np.float32))
        writer.finish({}, {})
    _, left_out, _ = explained(expression=tmp_path / "other.parquet")
    assert "otherwise than its predictions file has it" in left_out["survival_census"]


def test_coefficients_are_those_of_the_genes(whole: tuple[Store, dict[str, Path]]) -> None:
    _, manifests = whole
    for family in ("linear", "cox"):
        folders = json.loads(manifests[family].read_text())["models"]
        saved = load_trained(next(Path(one) for one in folders if "/survival/" in one))
        found = gene_coefficients(saved)
        assert list(found) == ["t3", "t0", "t1"]
        if family == "linear":
            assert list(found.values()) == pytest.approx(np.abs(saved.arrays["model.slope"][-3:]))
    folders = json.loads(manifests["porpoise"].read_text())["models"]
    with pytest.raises(InputError, match="no coefficients of genes"):
        gene_coefficients(load_trained(Path(next(iter(folders)))))


def test_names_that_are_no_networks_over_genes_are_refused() -> None:
    base = {
        "run": "r",
        "cohorts": {
            "c": {"slides": {"sheet": "s"}, "clinical": {"sheet": "p"}, "expression": "e", "encoders": ["resnet50"]}
        },
        "features": {"encoders": {"resnet50": {"model": "resnet50", "weights": "hub"}}},
        "expression": {"sources": {"e": {"matrix": "m"}}},
        "methods": {"abmil": {}, "porpoise": {}},
    }
    with pytest.raises(ConfigError, match=r"explain.genes.methods: 'abmil' is no network that sees RNA \(.*porpoise\)"):
        resolve({**base, "explain": {"genes": {"methods": ["abmil"]}}})
