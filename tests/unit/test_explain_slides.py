"""Rule explain_slides: who is chosen, pictures and values of a saved model, tiles for QuPath, what cannot be had."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from labelled_cohort import Store
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.evaluation import chosen
from mirrorflow.figures.explained import (
    DPI,
    LONGEST,
    Backdrop,
    Layer,
    Shown,
    canvas_of,
    draw_layers,
    draw_strip,
    painted,
)
from mirrorflow.figures.slide_maps import Tiles
from mirrorflow.learners.explained import Asked, Draws, HeadOnUnit
from mirrorflow.learners.saved import SavedModel
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.models.abmil import Abmil
from mirrorflow.models.mirror import Mirror, MirrorSettings
from mirrorflow.plan.explained import ExplainInputs
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.prototypes import PrototypeInputs
from mirrorflow.plan.run import Run
from mirrorflow.slides.qupath import origin_of, tile_features
from mirrorflow.steps.explained import cases
from mirrorflow.steps.explained.cases import Evaluated, cases_of
from mirrorflow.steps.explained.explain_slides import Data, explain_slides, slide_files
from mirrorflow.steps.explained.files import rank_of
from mirrorflow.steps.explained.on_unit import Files
from mirrorflow.steps.explained.pictures import layers_of
from mirrorflow.steps.explained.slides import SlideFile, cut, opened
from mirrorflow.steps.prototypes.slide_tiles import SlidePart
from mirrorflow.steps.results import figure_files
from mirrorflow.store.images import write_jpeg
from mirrorflow.store.tables import read_fold
from slide_factory import corrupt_tile, simple, write_svs

TINY = Path(__file__).parents[1] / "workflow" / "configs" / "tiny.yaml"
SETTINGS: dict[str, Any] = {"patients": [], "most": None, "groups": 3, "covers": 2}
SIZE = 64
"""Side of a patch in level-0 pixels."""


# who is chosen


def subtypes() -> pd.DataFrame:
    shares = [0.9, 0.5, 0.7, 0.2, 0.8, 0.4]
    frame = pd.DataFrame({"unit": list("fedcba"), "label": list("xxxyyy"), "prob_x": shares})
    return frame.assign(prob_y=1 - frame["prob_x"])


def test_the_nearest_to_each_class_median_and_the_two_worst_errors() -> None:
    rows = subtypes()
    typical = chosen.typical_of_classes(rows, ["x", "y", "z"])
    assert [(one.row, one.why) for one in typical] == [
        (2, "nearest to the median of class x"),
        (5, "nearest to the median of class y"),
    ]
    assert [one.row for one in chosen.worst_of_classes(rows, ["x", "y"])] == [4]  # a tie is right: 0.5 of the first
    assert chosen.worst_of_classes(rows.iloc[[0, 3]], ["x", "y"]) == []


def risks() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unit": [f"u{number}" for number in range(8)],
            "fold": [0] * 4 + [1] * 4,
            "risk": [1.0, 2.0, 3.0, 4.0, 100.0, 200.0, 300.0, 400.0],
            "time_days": [10.0, 400, 300, 200, 100, 200, 300, 400],
            "event": [1.0, 0, 1, 1, 1, 0, 1, 1],
        }
    )


def test_quartiles_are_those_of_each_fold_and_errors_are_wrong_pairs_within_it() -> None:
    typical = chosen.typical_of_risks(risks())
    assert [one.row for one in typical] == [0, 1, 2, 3]  # of as near ones the first name
    assert typical[3].why == "nearest to the middle of risk quartile 4 of 4"
    # the first to die of fold 0 has the least risk: 3 of 3 pairs are wrong; in fold 1 three of three as well
    assert [(one.row, one.why) for one in chosen.worst_of_risks(risks())] == [
        (0, "the worst error"),
        (4, "the second worst error"),
    ]
    assert chosen.worst_of_risks(risks().assign(event=0.0)) == []


def test_an_early_death_with_many_wrong_pairs_is_worse_than_a_late_one_with_a_single_pair() -> None:
    """Day 1 has 8 of 9 pairs wrong, the last death but one its only pair."""
    risk = [2.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5, 9.0]
    rows = pd.DataFrame({"unit": list("abcdefghij"), "fold": 0, "risk": risk, "time_days": range(1, 11), "event": 0.0})
    rows.loc[[0, 8], "event"] = 1.0
    assert [one.row for one in chosen.worst_of_risks(rows)] == [0, 8]


def test_a_unit_chosen_twice_has_both_reasons_and_most_cuts() -> None:
    choices = [chosen.Choice(3, "one"), chosen.Choice(1, "two"), chosen.Choice(3, "three")]
    assert chosen.merged(choices) == [chosen.Choice(3, "one; three"), chosen.Choice(1, "two")]
    assert chosen.merged(choices, 1) == [chosen.Choice(3, "one; three")]


def missing(
    task: str, rows: pd.DataFrame, classes: tuple[str, ...] = (), most: int | None = None, patients: Sequence[str] = ()
) -> dict[str, str]:
    of = Evaluated(task, rows, rows, classes)
    return {one.name: one.why for one in cases_of(of, patients, most)[1]}


def test_one_class_only_and_no_event_are_said() -> None:
    assert missing("subtyping", subtypes().iloc[:1], ("x", "y")) == {
        "subtyping classes": "every evaluation unit is of class x: one class only",
        "subtyping errors": "every evaluation unit's class is predicted rightly",
    }
    said = missing("survival", risks().assign(event=0.0))
    assert said == {"survival errors": "no event among the evaluation units: an error has no meaning"}


def test_what_cannot_be_told_is_said_of_the_first_few_too() -> None:
    assert set(missing("subtyping", subtypes().iloc[:1], ("x", "y"), 1)) == {"subtyping classes"}
    assert set(missing("survival", risks().assign(event=0.0), most=1)) == {"survival errors"}
    named = subtypes().assign(patient=list("fedcba"), seed=1)
    assert set(missing("subtyping", named, ("x", "y"), 1, ["a", "nobody"])) == {"subtyping nobody"}


def test_a_named_patient_is_shown_by_all_of_its_slides() -> None:
    rows = subtypes().assign(patient=["p", "q", "p", "r", "s", "p"])
    cases, _ = cases_of(Evaluated("subtyping", rows, rows, ("x", "y")), ["p"], None)
    assert [one.unit_name for one in cases] == ["f", "d", "a"]


def test_a_patient_without_slides_is_a_unit_of_a_method_that_sees_rna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `train_on: available` and units of slides; it ended in KeyError."""
    cohort = pd.DataFrame({"patient": ["P", "Q"], "slide_ids": [["P-1", "P-2"], []]})
    columns = {"patient": ["P", "P", "Q"], "slide_id": ["P-1", "P-2", ""], "setting": "all", "seed": 1, "risk": 0.5}
    part = SimpleNamespace(rows=pd.DataFrame(columns), notes={})
    monkeypatch.setattr(cases, "read_task", lambda *_: [part])
    of = cases.evaluated(None, "survival", cohort, "slide")
    assert of.rows["unit"].tolist() == of.units["unit"].tolist() == ["P-1", "P-2", "Q"]


def test_a_unit_on_whose_patient_its_own_fold_was_trained_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Published folds may share patients: R of fold 0 is among both sides of it."""
    cohort = pd.DataFrame({"patient": list("PQR"), "slide_ids": [["P-1"], ["Q-1"], ["R-1"]]})
    columns = {"patient": ["P", "R", "Q", "R"], "slide_id": "", "setting": "all", "seed": 1, "risk": 0.5}
    part = SimpleNamespace(rows=pd.DataFrame(columns).assign(fold=[0, 0, 1, 1]), notes={})
    monkeypatch.setattr(cases, "read_task", lambda *_: [part])
    sides = [(("Q", "R"), ("P", "R")), (("P",), ("Q", "R"))]
    splits = [tmp_path / f"splits_{fold}.csv" for fold in range(2)]
    for path, (train, val) in zip(splits, sides, strict=True):
        pd.DataFrame({"train": pd.Series(train), "val": pd.Series(val)}).to_csv(path)
    of = cases.evaluated(None, "survival", cohort, "patient", splits)
    assert list(zip(of.rows["patient"], of.rows["fold"], strict=True)) == [("P", 0), ("Q", 1), ("R", 1)]
    assert (of.units["patient"].tolist(), of.trained_on) == (["P", "Q", "R"], 1)
    found, _ = cases_of(of, ["P"], None)
    assert [one.trained_on for one in found] == [1]
    part.rows = part.rows[part.rows["patient"] == "R"].head(1)
    none = cases.evaluated(None, "survival", cohort, "patient", splits)
    assert none.why == "the models were trained on the patients of all 1 evaluation units"
    part.rows = part.rows.assign(setting="10-shot")
    manifest = SimpleNamespace(why_without=lambda task: f"{task}: no epoch")
    assert cases.evaluated(manifest, "survival", cohort, "patient", splits).why == "survival: no epoch"


# tiles for QuPath

POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
TILE_SCHEMA = {
    "type": "object",
    "required": ["type", "features"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "id", "geometry", "properties"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "Feature"},
                    "id": {"type": "string", "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
                    "geometry": {
                        "type": "object",
                        "required": ["type", "coordinates"],
                        "properties": {
                            "type": {"const": "Polygon"},
                            "coordinates": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 4,
                                    "items": POINT,
                                },
                            },
                        },
                    },
                    "properties": {
                        "type": "object",
                        "required": ["objectType", "measurements"],
                        "additionalProperties": False,
                        "properties": {
                            "objectType": {"enum": ["tile", "detection", "cell", "annotation"]},
                            "measurements": {"type": "object", "additionalProperties": {"type": "number"}},
                        },
                    },
                },
            },
        },
    },
}
"""What QuPath 0.7 reads, as documented: an unknown objectType makes annotations, which are never coloured."""


def check_tiles(collection: dict[str, Any]) -> None:
    jsonschema.validate(collection, TILE_SCHEMA)
    for one in collection["features"]:
        (ring,) = one["geometry"]["coordinates"]
        assert ring[0] == ring[-1], "one open ring refuses the whole file"
    ids = [one["id"] for one in collection["features"]]
    assert len(ids) == len(set(ids))


def test_tiles_are_closed_and_lie_where_qupath_shows_them() -> None:
    corners = np.array([[1000, 500], [1100.5, 500]])
    found = tile_features("s", corners, 100.5, {"attention": np.array([0.1, np.nan])}, origin=(900, 400))
    check_tiles(found)
    first, second = found["features"]
    assert first["geometry"]["coordinates"] == [[[100, 100], [200.5, 100], [200.5, 200.5], [100, 200.5], [100, 100]]]
    assert first["properties"] == {"objectType": "tile", "measurements": {"attention": 0.1}}
    assert second["properties"]["measurements"] == {}  # not finite: uncoloured
    again = tile_features("s", corners[:1], 100.5, {"other": np.array([3.0])})
    assert again["features"][0]["id"] == first["id"]  # QuPath asks before it doubles them
    assert tile_features("t", corners[:1], 100.5, {})["features"][0]["id"] != first["id"]


def test_the_origin_is_that_of_the_bounds_where_there_are_all_four() -> None:
    four = {
        f"openslide.bounds-{part}": value for part, value in {"x": "7", "y": "9", "width": "1", "height": "1"}.items()
    }
    assert origin_of(four) == (7, 9)
    assert origin_of({name: value for name, value in four.items() if "height" not in name}) == (0, 0)
    assert origin_of({}) == (0, 0)


# pictures


@pytest.mark.parametrize(("mpp", "spans"), [(0.25, 2000.0), (0.5, 1000.0), (None, 1000.0)])
def test_a_pixel_spans_a_round_length_and_the_map_fits(mpp: float | None, spans: float) -> None:
    tiles = Tiles(np.zeros((1, 2)), 512, width=400_000, height=100_000, mpp=mpp)
    height, width, found = canvas_of(tiles)
    unit = mpp or 1.0
    assert found * unit in {10.0**power * step for power in range(-1, 5) for step in (1, 2, 5)}
    assert width <= LONGEST
    assert (width, height) == (round(400_000 / found), round(100_000 / found))
    finer = {5: 2, 2: 1, 1: 0.5}[int(str(found * unit)[0])] / int(str(found * unit)[0])
    assert 400_000 / (found * finer) > LONGEST  # the next finer round length would not fit
    assert found == pytest.approx(spans)


def test_maps_are_painted_where_patches_lie() -> None:
    covering = np.array([[0, 1], [-1, 2]])
    backdrop = np.full((2, 2, 3), 200, np.uint8)
    found = painted(backdrop, covering, Layer.signed("removal", "", np.array([-1.0, 0.0, np.nan])))
    grey = found[1, 0]
    assert (grey == 228).all()
    assert (found[1, 1] == grey).all()  # no value: the tissue alone
    assert found[0, 0, 0] > found[0, 0, 2] + 50  # orange below 0
    assert np.ptp(found[0, 1].astype(int)) < 10  # white at 0


def test_a_pixel_of_the_tissue_is_one_of_the_png() -> None:
    tiles = Tiles(np.array([[0, 0]]), 50, width=400, height=300, mpp=0.5)
    height, width, spans = canvas_of(tiles)
    layer = Layer("attention", "rank", np.array([1.0]))
    figure = draw_layers(tiles, Backdrop(np.zeros((height, width, 3), np.uint8), spans), [layer], "title")
    tissue = figure.axes[0].get_position()
    across, down = figure.get_size_inches() * DPI
    assert (tissue.width * across, tissue.height * down) == pytest.approx((width, height))
    assert len(figure.axes) == 3  # tissue, map, colour bar
    assert len(figure.axes[0].lines) == 1  # the scale bar


def test_maps_of_any_size_are_as_large_as_the_tissue() -> None:
    rng = np.random.default_rng(0)
    sizes = [(31523, 93206, 0.2277), *((*rng.integers(5000, 120_000, 2).tolist(), 0.25) for _ in range(300))]
    for width, height, mpp in sizes:
        tiles = Tiles(np.array([[0, 0], [width - 512, height - 512]]), 512, float(width), float(height), mpp)
        down, across, spans = canvas_of(tiles)
        covering = tiles.covering_in((down, across))
        assert covering.shape == (down, across)
        assert covering[0, 0] == 0
        assert covering[-1, -1] == 1
    draw_layers(tiles, Backdrop(np.zeros((down, across, 3), np.uint8), spans), [Layer("a", "b", np.ones(2))], "t")


def test_a_patch_that_cannot_be_read_is_said_with_its_place(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "c.svs", simple(512, 512), downsamples=(1,))
    for tile in range(4):
        corrupt_tile(path, tile)
    part = SlidePart("c", Tiles(np.array([[256, 0]]), 256.0, 512.0, 512.0, 0.5), np.arange(1))
    with opened(SlideFile(path)) as slide, pytest.raises(InputError, match=r"c: patches .* \(256, 0\) cannot be read"):
        cut(slide, part, [0], {0: ""})


def test_small_values_keep_their_digits_in_tiles() -> None:
    values = {"weight": np.array([1.23456789e-8])}
    (feature,) = tile_features("s", np.array([[0, 0]]), 10, values)["features"]
    assert feature["properties"]["measurements"] == {"weight": 1.23457e-08}


def test_the_strip_is_one_picture_of_all_patches_and_their_numbers() -> None:
    patches = [Shown(np.full((10, 10, 3), shade, np.uint8), f"{shade}") for shade in (10, 20, 30)]
    (axes,) = draw_strip(patches, patches[:2], "title").axes
    (image,) = axes.images
    shades = {int(value) for value in np.unique(image.get_array())}
    assert shades == {10, 20, 30, 255}
    assert [text.get_text() for text in axes.texts] == ["highest", "10", "20", "30", "lowest", "10", "20"]


# a saved model


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("to_svg", "to_png"):
        monkeypatch.setattr(figure_files, name, lambda figure: b"")


def give_places(store: Store) -> None:
    for slides in store.frame["slide_ids"]:
        for slide in slides:
            with h5py.File(store.folder / f"{slide}.h5", "a") as file:
                count = len(file["features"])
                file["coords"] = np.stack([np.arange(count), np.arange(count) % 2], axis=1) * SIZE
                size = {"patch_size_level0": SIZE, "level0_width": 512, "level0_height": 384, "level0_mpp": 0.5}
                file["coords"].attrs.update(size)


def trained(store: Store, family: str = "abmil", **changes: Any) -> Data:
    place = ModelPlace(str(store.folder / "results"), "c", "uni", family, "all-data")
    plan = store.plan(family, saved=place, shots=[], **changes)
    rna = family == "porpoise"
    inputs = store.inputs(inputs=["slides", "rna"] if rna else ["slides"])
    folder = store.predict(plan, inputs, f"results/predictions/honest/c/uni/{family}")
    files = Files(store.folder / "index.tsv", store.folder / "rna.parquet" if rna else None)
    return Data(store.folder / "cohort.parquet", folder / "manifest.json", "patient", files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Data]:
    """A cohort whose slides have places, and ABMIL trained on it: to look at."""
    store = Store(tmp_path_factory.mktemp("whole"))
    give_places(store)
    return store, trained(store)


def with_features(data: Data, folder: Path, change: Callable[[Any], Any]) -> Data:
    """The same with other feature files, which have no places."""
    index = pd.read_csv(data.files.index, sep="\t")
    for number, path in enumerate(index["path"]):
        with h5py.File(path) as file, h5py.File(folder / f"{number}.h5", "w") as changed:
            changed["features"] = change(file["features"][...])
    own = folder / "index.tsv"
    index.assign(path=[str(folder / f"{number}.h5") for number in index.index]).to_csv(own, sep="\t", index=False)
    return replace(data, files=replace(data.files, index=own))


Explained = Callable[..., tuple[dict[str, str], dict[str, str], Path]]


@pytest.fixture
def explained(tmp_path: Path) -> Explained:
    def explain(data: Data, **settings: Any) -> tuple[dict[str, str], dict[str, str], Path]:
        folder = tmp_path / "explained/honest/c/uni/abmil"
        explain_slides(data, SETTINGS | settings, folder)
        record = json.loads((folder / "figures.json").read_text())
        assert {one["kind"] for one in record["figures"] + record["left_out"]} == {"explained"}
        captions = {one["name"]: one["caption"] for one in record["figures"]}
        return captions, {one["name"]: one["why"] for one in record["left_out"]}, folder

    return explain


def write_slide(store: Store, folder: Path, patient: str) -> dict[str, SlideFile]:
    found = {}
    for slide in store.frame.set_index("patient").loc[patient, "slide_ids"]:
        path = write_svs(folder / f"{slide}.svs", simple(512, 384), downsamples=(1,))
        found[slide] = SlideFile(path)
    return found


@pytest.mark.usefixtures("unrendered")
def test_a_patient_is_explained_by_the_model_that_was_not_trained_on_it(
    whole: tuple[Store, Data], explained: Explained, tmp_path: Path
) -> None:
    store, data = whole
    slides = write_slide(store, tmp_path, "P03")
    captions, left_out, folder = explained(replace(data, slides=slides), patients=["P03"])
    assert not left_out
    assert set(captions) == {
        f"{task}_1_{name}" for task in ("subtyping", "survival") for name in ("map", "patches", "deletion")
    }
    table = pd.read_csv(folder / "explained.tsv", sep="\t")
    for row in table.itertuples():
        assert "P03" in read_fold(store.folder / f"splits_{row.fold}.csv").val
        assert "P03" not in read_fold(store.folder / f"splits_{row.fold}.csv").train
    for caption in captions.values():
        assert "which was not trained on this patient" in caption
        assert "Trained on labels" in caption
    said = captions["subtyping_1_map"]
    assert "where the pooling's weight lies, not why" in said
    assert "A pixel of the PNG's maps spans 1 µm" in said  # 512 pixels of 0.5 µm in 480 at most
    assert "cannot be read" not in said
    assert "where the pooling's weight lies, not why" in captions["subtyping_1_patches"]
    assert "side 32 µm" in captions["subtyping_1_patches"]
    assert "5 random orders" in captions["survival_1_deletion"]


@pytest.mark.usefixtures("unrendered")
def test_raw_values_and_tiles_are_those_of_the_patches(whole: tuple[Store, Data], explained: Explained) -> None:
    store, data = whole
    _, _, folder = explained(data, patients=["P03"])
    values = pd.read_parquet(folder / "subtyping_1.parquet")
    counts = []
    for slide in ("P03-1", "P03-2"):
        with h5py.File(store.folder / f"{slide}.h5") as file:
            counts.append(len(file["features"]))
            mine = values[values["slide_id"] == slide]
            np.testing.assert_array_equal(mine[["x", "y"]].to_numpy(), file["coords"][...])
            assert mine["row"].tolist() == list(range(counts[-1]))
        tiles = json.loads(gzip.decompress((folder / f"subtyping_1_{slide}.geojson.gz").read_bytes()))
        check_tiles(tiles)
        found = [one["properties"]["measurements"]["attention (x equal share)"] for one in tiles["features"]]
        assert found == pytest.approx(mine["attention"].tolist(), abs=1e-5)
        corners = [one["geometry"]["coordinates"][0][0] for one in tiles["features"]]
        assert corners == mine[["x", "y"]].to_numpy().tolist()
    assert len(values) == sum(counts)
    assert values["attention"].mean() == pytest.approx(1, rel=1e-5)
    assert values["attention_rank"].tolist() == pytest.approx(rank_of(values["attention"].to_numpy()))
    assert values["group"].nunique() == 3
    assert values.groupby("group")["removal_effect"].nunique().max() == 1


@pytest.mark.usefixtures("unrendered")
def test_the_rule_chooses_from_every_fold(whole: tuple[Store, Data], explained: Explained) -> None:
    captions, _, folder = explained(whole[1], most=2)
    table = pd.read_csv(folder / "explained.tsv", sep="\t")
    assert table["name"].tolist() == [f"{task}_{n}" for task in ("subtyping", "survival") for n in range(1, 3)]
    assert table["why"].iloc[:2].str.contains("median of class").all()
    assert len(captions) == 4 * 2  # the slides' files are not there: no strip


@pytest.mark.usefixtures("unrendered")
def test_a_slide_that_is_gone_lies_on_the_stored_thumbnail(
    whole: tuple[Store, Data], explained: Explained, tmp_path: Path
) -> None:
    _, data = whole
    write_jpeg(tmp_path / "P04-1.jpg", simple(64, 48))
    gone = {"P04-1": SlideFile(tmp_path / "deleted.svs")}
    captions, left_out, _ = explained(replace(data, slides=gone, thumbnails=tmp_path), patients=["P04"])
    said = captions["subtyping_1_map"]
    assert "deleted.svs: no such file" in said
    assert "the maps lie on the thumbnail that the store keeps" in said
    assert "open" in said
    assert "--no-crop" in said
    assert left_out.keys() == {"subtyping_1_patches", "survival_1_patches"}
    assert "patches cannot be cut, its file cannot be read" in left_out["subtyping_1_patches"]
    captions, _, _ = explained(replace(data, slides={}), patients=["P04"])
    assert "the sheet of slides names no file of it" in captions["subtyping_1_map"]
    assert "no tissue is below the maps" in captions["subtyping_1_map"]


@pytest.mark.usefixtures("unrendered")
def test_features_without_places_are_said_and_not_drawn(
    whole: tuple[Store, Data], tmp_path: Path, explained: Explained
) -> None:
    data = with_features(whole[1], tmp_path, lambda bag: bag)
    captions, left_out, folder = explained(data, patients=["P04"])
    assert set(captions) == {"subtyping_1_deletion", "survival_1_deletion"}
    assert "have no coords in level-0 pixels" in left_out["subtyping_1_map"]
    assert pd.read_parquet(folder / "subtyping_1.parquet")["x"].isna().all()
    assert not list(folder.glob("*.geojson.gz"))


@pytest.mark.usefixtures("unrendered")
def test_a_model_of_other_settings_is_said(whole: tuple[Store, Data], explained: Explained, tmp_path: Path) -> None:
    _, data = whole
    record = json.loads(data.manifest.read_text())
    other = tmp_path / "manifest.json"
    for name in record["written"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((data.manifest.parent / name).read_bytes())
    other.write_text(json.dumps(record | {"models": dict.fromkeys(record["models"], "another")}))
    _, left_out, _ = explained(replace(data, manifest=other), patients=["P04"])
    assert "not the model that" in left_out["subtyping_1 (P04)"]
    other.write_text(json.dumps(record | {"models": {}}))
    _, left_out, _ = explained(replace(data, manifest=other), patients=["P04"])
    assert "names no model of subtyping" in left_out["subtyping_1 (P04)"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda bag: bag * -20, "predicts P04 otherwise than its predictions file has it"),
        (lambda bag: bag[:, :4], "features are 4 wide, the model in .* takes 5: it was trained with other settings"),
    ],
    ids=["other values", "another encoder"],
)
@pytest.mark.usefixtures("unrendered")
def test_features_that_are_not_the_models_are_said(
    whole: tuple[Store, Data], explained: Explained, tmp_path: Path, change: Callable[..., Any], said: str
) -> None:
    _, left_out, _ = explained(with_features(whole[1], tmp_path, change), patients=["P04"])
    with pytest.raises(InputError, match=said):
        raise InputError(left_out["subtyping_1 (P04)"])


@pytest.mark.usefixtures("unrendered")
def test_features_that_are_gone_a_task_that_was_skipped_and_an_unknown_patient_are_said(
    whole: tuple[Store, Data], explained: Explained, tmp_path: Path
) -> None:
    _, data = whole
    index = pd.read_csv(data.files.index, sep="\t")
    own = tmp_path / "index.tsv"
    index.assign(path=str(tmp_path / "gone.h5")).to_csv(own, sep="\t", index=False)
    _, left_out, _ = explained(replace(data, files=replace(data.files, index=own)), patients=["P04", "nobody"])
    assert "gone.h5: no features of P04 there" in left_out["subtyping_1 (P04)"]
    assert "no evaluation patient of this task" in left_out["subtyping nobody"]
    record = json.loads(data.manifest.read_text())
    (tmp_path / "manifest.json").write_text(
        json.dumps(record | {"written": {}, "skipped": {"survival/fold0.parquet": "no event among 24 patients"}})
    )
    _, left_out, _ = explained(replace(data, manifest=tmp_path / "manifest.json"))
    assert left_out == {"survival": "no event among 24 patients"}


@pytest.mark.usefixtures("unrendered")
def test_a_network_with_rna_is_explained(whole: tuple[Store, Data], explained: Explained) -> None:
    captions, _, _ = explained(trained(whole[0], "porpoise", tasks=["subtyping"]), patients=["P04"])
    assert set(captions) == {"subtyping_1_map", "subtyping_1_deletion"}
    assert "gated attention" in captions["subtyping_1_map"]


@pytest.mark.usefixtures("unrendered")
def test_a_method_without_weights_shows_removal_alone(
    whole: tuple[Store, Data], explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Abmil, "patch_weights", lambda self, batch: [])
    captions, _, folder = explained(whole[1], patients=["P04"])
    assert "no weights of patches: only removal is shown" in captions["subtyping_1_map"]
    assert "those of largest effect of removal first" in captions["subtyping_1_deletion"]
    assert "removal_effect" in pd.read_parquet(folder / "subtyping_1.parquet")


def test_what_leaving_out_lowers_is_called_a_loss() -> None:
    found = SimpleNamespace(weights=[], effect=np.array([5.0]), asked=SimpleNamespace(name="risk"))
    (layer,) = layers_of(SimpleNamespace(found=found))  # type: ignore[arg-type]
    assert layer.label == "loss of risk by removal"


def test_a_sheet_that_is_gone_leaves_the_slides_to_the_store(tmp_path: Path) -> None:
    assert slide_files({"sheet": str(tmp_path / "gone.tsv"), "columns": {}}) == {}
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\tpath\ns\tp\tx.svs\n")
    assert slide_files({"sheet": str(tmp_path / "slides.tsv"), "columns": {}}) == {"s": SlideFile(tmp_path / "x.svs")}


# a head on a pretrained network


def on_head(short: str, patches: int = 11) -> HeadOnUnit:
    torch.manual_seed(0)
    heads: dict[str, Any] = {"slide_heads": 4, "rna_heads": 4, "prototypes": 8, "style_widths": (8, 8, 4)}
    network = Mirror(MirrorSettings(patch_dim=6, gene_count=5, width=16, tokens=4, **heads)).eval()
    rng = np.random.default_rng(0)
    arrays = {"head.weight": rng.normal(size=(3, 32)).astype(np.float32), "head.bias": np.zeros(3, np.float32)}
    saved = SavedModel(Path("model"), arrays, {"epoch": 2, "task": "subtyping", "classes": ["a", "b", "c"]})
    bag = rng.normal(size=(patches, 6)).astype(np.float32)
    return HeadOnUnit(saved, network, bag, rng.normal(size=16).astype(np.float32), Draws(4, short, 3, 0))


@pytest.mark.parametrize("short", ["mask", "resample"])
@pytest.mark.parametrize("patches", [11, 3])
def test_all_patches_are_covered_and_their_deviation_is_known(short: str, patches: int) -> None:
    found = on_head(short, patches)
    main, rollout, first = found.weights()
    assert [main.name, rollout.name, first.name] == ["block 2", "rollout", "block 1"]
    for one in (main, rollout, first):
        assert one.values.shape == (patches,)
        assert np.isfinite(one.values).all()
        assert one.deviation is not None
        assert np.isfinite(one.deviation).all()
        assert (one.deviation > 0).any()
    assert f"3 x {-(-patches // 4)} draws" in found.said
    assert "Learned without labels" in found.said
    np.testing.assert_array_equal(main.values, on_head(short, patches).weights()[0].values)


def test_the_answer_of_a_head_is_the_mean_over_a_cover_less_what_is_left_out() -> None:
    found = on_head("mask")
    everyone = np.arange(11)
    logits = found.logits(everyone)
    (first, *_) = found._covers()
    by_hand = []
    for draw in first:
        slide = found.network.encode_slides(torch.tensor(found.bag[draw])[None], counts=torch.tensor([len(draw)]))
        joined = np.concatenate([slide[0].detach().numpy(), found.rna])
        by_hand.append(found.saved.arrays["head.weight"] @ joined)
    np.testing.assert_allclose(logits[0].numpy(), np.mean(by_hand, 0), rtol=1e-4, atol=1e-5)
    alone = found.logits(first[0][:2])
    assert alone.shape == (1, 3)
    odds = Asked("log-odds of b", 1).of(found, logits)
    share = logits.softmax(1)[0, 1]
    assert odds == pytest.approx(float((share / (1 - share)).log()))


# what is planned


def inputs_of(**changes: Any) -> ExplainInputs:
    config = yaml.safe_load(TINY.read_text()) | changes
    run = Run(resolve(config))
    return ExplainInputs(run, ModelInputs(run), PredictionInputs(run))


def test_the_split_files_of_the_protocols_folds_are_read() -> None:
    inputs = inputs_of()
    where = SimpleNamespace(protocol=inputs.protocols[0], cohort=inputs.run.cohorts[0])
    found = inputs.splits(where)
    assert len(found) == len(inputs.run.folds)
    assert found == PrototypeInputs(inputs.run, inputs.predictions).splits(where)
    assert [Path(one).name for one in found] == [f"splits_{fold}.csv" for fold in inputs.run.folds]


def test_the_target_has_every_method_with_patches_and_all_has_them_where_asked() -> None:
    plain = inputs_of()
    assert [Path(one).name for one in plain.folders()] == ["mirror", "tangle", "abmil", "survpath", "tta", "mmp"]
    assert all(one.startswith("results/tiny/explained/honest/tiny/resnet50-random/") for one in plain.folders())
    assert plain.of_all() == []
    assert inputs_of(explain=None).of_all() == plain.folders()
    asked = inputs_of(explain={"methods": ["abmil"], "protocols": ["paper"], "most": 1})
    assert asked.of_all() == ["results/tiny/explained/paper/tiny/resnet50-random/abmil"]
    assert asked.settings(None) == {"patients": [], "most": 1, "groups": 20, "covers": 3}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"methods": ["clam"]}, "explain.methods: 'clam' is no method of this run"),
        ({"methods": ["linear"]}, "explain.methods: 'linear' sees no patches"),
        ({"protocols": ["other"]}, "explain.protocols: 'other' is no protocol of this run"),
        ({"groups": 0}, "explain.groups"),
    ],
)
def test_names_that_are_not_there_are_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        inputs_of(explain=section)
