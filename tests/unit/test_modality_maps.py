"""Rules map_embeddings and make_modality_gap: distances in the vectors' own space, intervals, what is said of maps."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.evaluation.bands import Resampling
from mirrorflow.evaluation.modalities import (
    GAP,
    PAIRS,
    RELATIVE,
    SPREAD,
    TO_RNA,
    TO_SLIDE,
    Vectors,
    less_than,
    measured,
)
from mirrorflow.figures import modality_maps
from mirrorflow.figures.modality_maps import MapPanel, draw_modality_maps
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.plan.modalities import MapsFolder
from mirrorflow.steps.explained import map_embeddings as step
from mirrorflow.steps.results import figure_files
from mirrorflow.steps.results.make_modality_gap import together
from mirrorflow.tables.modality_gap import shown
from mirrorflow.training.embedding import Embeddings
from mirrorflow.training.retrieval import recall_at

HOW = Resampling(200, 1, 0.95)


def vectors(fold: int = 0, noise: float = 0.5, gap: float = 0.0, units: int = 20, seed: int = 0) -> Vectors:
    """Pairs around the same place, RNA moved away by ``gap``."""
    rng = np.random.default_rng([seed, fold])
    place = rng.normal(size=(units, 8)) + 1
    rna = place + noise * rng.normal(size=place.shape) + gap
    return Vectors(fold, place, rna, [f"P{fold}{i:02}" for i in range(units)], 4 * units)


def values(found: list[Any], fold: int | None = None) -> dict[str, float]:
    return {one.measure: one.value for one in found if one.fold == fold}


def test_distances_are_those_of_vectors_at_length_one() -> None:
    of = vectors()
    found = values(measured([of], HOW), 0)
    slide, rna = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (of.slide, of.rna))
    assert found[PAIRS] == pytest.approx(np.linalg.norm(slide - rna, axis=1).mean())
    between = [
        np.linalg.norm(part[:, None] - part[None], axis=2)[~np.eye(20, dtype=bool)].mean() for part in (slide, rna)
    ]
    assert found[SPREAD] == pytest.approx(np.mean(between))
    assert found[RELATIVE] == pytest.approx(found[PAIRS] / found[SPREAD])
    longer = Vectors(0, 7 * of.slide, of.rna / 3, of.patients, of.trained)
    assert values(measured([longer], HOW), 0) == pytest.approx(found)  # the vectors' length plays no part
    recalls = recall_at(of.slide, of.rna, of.patients), recall_at(of.rna, of.slide, of.patients)
    assert [found[name.format(k=5)] for name in (TO_RNA, TO_SLIDE)] == [one[5] for one in recalls]


def test_two_slides_of_a_patient_are_neighbours_of_their_own() -> None:
    of = vectors(units=6)
    twice = Vectors(0, np.repeat(of.slide, 2, 0), np.repeat(of.rna, 2, 0), np.repeat(of.patients, 2).tolist(), 20)
    once, again = values(measured([of], HOW), 0), values(measured([twice], HOW), 0)
    for name in (PAIRS, SPREAD, GAP, TO_RNA.format(k=1)):
        assert again[name] == pytest.approx(once[name]), name


def test_the_gap_of_means_is_none_where_there_is_none_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(3)
    of = Vectors(0, rng.normal(size=(60, 32)), rng.normal(size=(60, 32)), [f"{i}" for i in range(60)], 100)
    alike = next(one for one in measured([of], HOW) if one.measure == GAP and one.fold == 0)
    assert alike.value < 0.08  # the distance of the two means as they are would be about 0.18
    found = [one for one in measured([vectors(gap=-3.0), vectors(1, gap=-3.0)], HOW) if one.measure == GAP]
    assert all(one.low < one.value < one.high for one in found)
    assert min(one.value for one in found) > 0.3


def test_intervals_of_the_mean_are_wider_for_shared_training_patients() -> None:
    folds = [vectors(0), vectors(1)]
    alone = [Vectors(one.fold, one.slide, one.rna, one.patients, 0) for one in folds]
    shared, own = (next(x for x in measured(f, HOW) if x.measure == PAIRS and x.fold is None) for f in (folds, alone))
    assert shared.value == own.value == pytest.approx(np.mean([values(measured(folds, HOW), k)[PAIRS] for k in (0, 1)]))
    assert (shared.high - shared.low) / (own.high - own.low) == pytest.approx(np.sqrt(1 + 2 * 0.25))
    assert shared.units == 40


def test_less_than_another_methods_on_the_same_patients() -> None:
    near, far = [vectors(k, noise=0.2) for k in (0, 1)], [vectors(k, noise=0.8) for k in (0, 1)]
    found = less_than(near, far, HOW)
    pairs = [values(measured(folds, HOW))[PAIRS] for folds in (near, far)]
    assert found.value == pytest.approx(1 - pairs[0] / pairs[1])
    assert 0 < found.low < found.value < found.high < 1
    with pytest.raises(InputError, match="other patients"):
        less_than(near, [vectors(0, units=19), far[1]], HOW)


def test_nan_and_few_units_are_refused() -> None:
    of = vectors()
    with pytest.raises(InputError, match="fold 0: a vector holds NaN"):
        Vectors(0, of.slide * np.nan, of.rna, of.patients, 9)
    with pytest.raises(InputError, match="fold 2: 3 evaluation units"):
        vectors(2, units=3)


# maps


class FakeUmap:
    """Notes how it was made; places points by their first two values."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **settings: Any) -> None:
        self.made.append(settings)

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        return points[:, :2]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=FakeUmap))
    monkeypatch.setattr(FakeUmap, "made", made := [])
    return made


def test_maps_are_seeded_on_one_thread_with_the_neighbours_there_are(fake: list[dict[str, Any]]) -> None:
    modality_maps.placed(np.random.default_rng(0).normal(size=(8, 3)), 15, 7)
    assert fake == [{"n_neighbors": 7, "random_state": 7, "n_jobs": 1}]
    for points, said in (
        (np.zeros((3, 2)), "4 at least"),
        (np.full((5, 2), np.nan), "NaN"),
        (np.ones((5, 2)), "the same"),
    ):
        with pytest.raises(InputError, match=said):
            modality_maps.placed(points, 15, 7)


@pytest.mark.slow
def test_the_same_map_twice() -> None:
    points = np.random.default_rng(0).normal(size=(30, 6))
    assert modality_maps.placed(points, 15, 1).tobytes() == modality_maps.placed(points, 15, 1).tobytes()


def test_panels_tell_modality_by_mark_and_group_by_colour() -> None:
    panel = MapPanel("M", np.arange(8.0).reshape(4, 2), ["slide", "slide", "RNA", "RNA"], ["a", "b"] * 2)
    figure = draw_modality_maps([panel] * 4, "title")
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
    assert len(figure.axes[0].collections) == 4
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "slide", "RNA"]


# the rules

Mapped = Callable[..., tuple[dict[str, Any], Path]]


@pytest.fixture
def mapped(fake: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapped:
    """The step on made-up embeddings: 12 patients in two folds, read in another order than by name."""
    names = [f"P{i:02}" for i in range(12)][::-1]
    cohort = pd.DataFrame({"patient": names, "label": list("ab") * 6, "event": 1.0, "slide_ids": [[n] for n in names]})
    splits = [Fold(tuple(names[6:]), tuple(names[:6])), Fold(tuple(names[:6]), tuple(names[6:]))]

    def run(
        broken: tuple[str, int] | None = None, frame: pd.DataFrame = cohort, shared: int = 0
    ) -> tuple[dict[str, Any], Path]:
        splits[0] = Fold((*names[6:], *names[:shared]), tuple(names[:6]))

        def read(path: Path) -> Embeddings:
            method, fold = path.name.split("-")
            rng = np.random.default_rng([len(method), int(fold)])
            slide, rna = rng.normal(size=(1, 12, 5)), rng.normal(size=(1, 12, 5))
            if broken == (method, int(fold)):
                rna[0, 0] = np.nan
                rna[0, 11] = np.nan
            return Embeddings(tuple(names), slide, rna, slide, rna)

        def of_records(records: list[str], **_: object) -> Embedded:
            method = Path(records[0]).parts[-4]
            files = {(1, fold): f"{method}-{fold}" for fold in range(2)}
            return Embedded(files, models=files)

        for name, replaced in {
            "read_cohort": lambda path: (frame, ["a", "b"]),
            "read_fold": lambda path: splits[int(path.name)],
            "read_embeddings": read,
            "_aligned": lambda of, model: None,
        }.items():
            monkeypatch.setattr(step, name, replaced)
        monkeypatch.setattr(step.Embedded, "of_records", of_records)
        for name in ("to_svg", "to_png"):
            monkeypatch.setattr(figure_files, name, lambda figure: b"")
        folder = tmp_path / "maps/honest/c/uni"
        records = [Path(f"s/c/embeddings/uni/{method}/seed1/frozen/done.json") for method in ("mirror", "tangle")]
        params = step.Params(
            {"unit": "patient"},
            {"folds": 1, "neighbors": 15, "seed": 1},
            {"resamples": 20, "seed": 1, "confidence": 0.9},
        )
        step.map_embeddings(step.Inputs(Path("cohort"), [Path("0"), Path("1")], records), params, folder)
        return json.loads((folder / "figures.json").read_text()), folder

    return run


def test_a_map_is_of_the_folds_evaluation_patients_in_the_order_of_their_names(mapped: Mapped) -> None:
    record, folder = mapped()
    (figure,) = record["figures"]
    assert not record["left_out"]
    for said in ("6 evaluation units", "mean nothing on such a map", "not trained on them", "Colours: class"):
        assert said in figure["caption"]
    points = pd.read_csv(folder / "map_fold0.csv")
    assert points["patient"].tolist() == [f"P{i:02}" for i in range(6, 12)] * 4
    assert points.groupby(["method", "modality"]).size().tolist() == [6] * 4
    table = together([folder])
    assert set(table["fold"]) == {"0", "1", ""}
    assert set(zip(table["protocol"], table["cohort"], table["encoder"], strict=True)) == {("honest", "c", "uni")}
    pretty = shown(table, {"method": {"mirror": "MIRROR"}, "cohort": {}})
    assert pretty["Method"].tolist() == ["MIRROR", "tangle"]
    assert pretty["Less than TANGLE's"].astype(bool).tolist() == [True, False]
    assert "(" in pretty["Slide to RNA recall@1"][0]


def test_patients_on_whom_the_fold_was_trained_are_not_on_its_map(mapped: Mapped) -> None:
    record, folder = mapped(shared=2)
    (figure,) = record["figures"]
    assert "UMAP of slide and RNA vectors of 4 evaluation units" in figure["caption"]
    assert "Left out: 2 evaluation units on whose patients their own fold was trained" in figure["caption"]
    assert set(pd.read_csv(folder / "map_fold0.csv")["patient"]) == {f"P{i:02}" for i in range(6, 10)}
    units = pd.read_csv(folder / "distances.csv").query("measure == 'distance of pairs'").set_index(["method", "fold"])
    assert units.loc[("mirror", 0.0), "units"] == 4


def test_a_fold_that_was_trained_on_all_has_no_map(mapped: Mapped) -> None:
    record, _ = mapped(shared=6)
    assert "fold 0 was trained on the patients of all 6 evaluation units" in str(record["left_out"])


def test_a_fold_without_vectors_is_said_and_the_others_count(mapped: Mapped) -> None:
    record, folder = mapped(("mirror", 1))
    (left,) = record["left_out"]
    assert left["name"] == "mirror_fold1"
    assert "NaN" in left["why"]
    table = together([folder])
    assert set(table.loc[table["method"] == "mirror", "fold"]) == {"0", ""}
    record, _ = mapped(("mirror", 0))
    assert "Left out: mirror (fold 0: a vector holds NaN" in record["figures"][0]["caption"]


def test_without_labels_colours_are_events(mapped: Mapped) -> None:
    names = [f"P{i:02}" for i in range(12)][::-1]
    frame = pd.DataFrame({"patient": names, "label": "", "event": [1.0, 0.0] * 6, "slide_ids": [[n] for n in names]})
    record, folder = mapped(frame=frame)
    assert "Colours: event" in record["figures"][0]["caption"]
    assert set(pd.read_csv(folder / "map_fold0.csv")["group"]) == {"had the event", "censored"}


def test_folders_parse() -> None:
    assert MapsFolder.parse("results/r/maps/honest/c/uni").encoder == "uni"


def test_a_space_that_only_scales_vectors_is_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Network:
        def __init__(self, turned: bool) -> None:  # noqa: FBT001
            self.turned = turned

        def align(self, slide: torch.Tensor, rna: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return (slide.flip(1) if self.turned else slide * 3), rna / 2

        def tau(self) -> float:
            return 1.0

    found = {}
    for turned in (False, True):
        monkeypatch.setattr(step, "load_model", lambda path, one=turned: types.SimpleNamespace(network=Network(one)))
        found[turned] = step._aligned(vectors(), Path("model"))
    assert found[False] is None
    assert found[True] is not None


def test_mirrors_aligned_space_is_held_against_tangles_own(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {name: {k: vectors(k, seed=number) for k in (0, 1)} for number, name in enumerate(("vectors", "aligned"))}
    mirror, tangle = step.Found("mirror", both, {}), step.Found("tangle", {**both, "aligned": {}}, {})
    rows = pd.DataFrame(step._distances(mirror, [mirror, tangle], HOW))
    less = rows[rows["measure"] == "less than TANGLE's"].set_index("space")["value"]
    assert less["vectors"] == 0
    assert less["aligned"] != 0
