"""Figures 7 to 11 of TTA: perplexity, assignments, maps' places, top prototypes; a saved model on its own fold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from labelled_cohort import Store
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError
from mirrorflow.figures.embedding import Panel, draw_maps, perplexity_of, placed
from mirrorflow.figures.slide_maps import (
    Tiles,
    assigned,
    draw_assignment,
    draw_single_maps,
    most_frequent,
    scale_bar,
)
from mirrorflow.figures.style import to_svg
from mirrorflow.figures.top_prototypes import counts_of, draw_top_prototypes, top_prototypes
from mirrorflow.learners.tasks import ModelPlace
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.prototypes import PrototypeInputs
from mirrorflow.plan.run import Run
from mirrorflow.steps.prototypes.draw_prototypes import draw_prototypes
from mirrorflow.steps.prototypes.evaluated import Data, by_half, evaluated_units, first_model, held_out
from mirrorflow.steps.prototypes.pictures import cosine_of_means
from mirrorflow.steps.prototypes.slide_tiles import slide_part, stride, tokens_of
from mirrorflow.steps.results import figure_files
from mirrorflow.store.tables import read_fold, write_fold
from mirrorflow.training.bags import ArrayBags, CappedBags

TINY = Path(__file__).parents[1] / "workflow" / "configs" / "tiny.yaml"


# t-SNE


def test_the_perplexity_is_what_so_few_vectors_allow() -> None:
    assert perplexity_of(32) == 10
    assert perplexity_of(64) == 20
    assert perplexity_of(1000) == 30
    for points in range(5, 100):
        assert 1 <= perplexity_of(points) < (points - 1) / 3
    for points in (0, 1, 4):
        with pytest.raises(InputError, match=f"{points} vectors are too few for t-SNE: 5 at least"):
            perplexity_of(points)


def test_a_map_is_seeded_and_keeps_neighbours_together() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 6)) + np.repeat([[0.0], [50.0]], 6, axis=0)
    places = placed(vectors, 0)
    np.testing.assert_array_equal(places, placed(vectors, 0))
    nearest = [np.argsort(np.linalg.norm(places - place, axis=1))[1] for place in places]
    assert all((number < 6) == (other < 6) for number, other in enumerate(nearest))
    with pytest.raises(InputError, match="all 12 vectors are the same"):
        placed(np.ones((12, 6)), 0)


def test_equal_maps_are_equal_files_and_kinds_differ_in_marker() -> None:
    panel = Panel("before", np.arange(12.0).reshape(6, 2), ["slides"] * 3 + ["RNA"] * 3, list("123123"))
    first, second = (to_svg(draw_maps([panel, replace(panel, names=())], "tokens")) for _ in range(2))
    assert first == second
    drawn = draw_maps([panel], "tokens").axes[0].collections
    shapes = {kind.get_label(): len(kind.get_paths()[0].vertices) for kind in drawn}
    assert shapes["slides"] != shapes["RNA"]


# which prototype


def test_a_patch_goes_to_its_largest_share_whatever_its_mass() -> None:
    prototypes, largest = assigned(np.array([[0.1, 0.3, 0.0], [0.0, 0.0, 0.0], [0.05, 0.0, 0.0]]))
    assert prototypes.tolist() == [1, -1, 0]
    assert largest == pytest.approx([0.75, np.nan, 1.0], nan_ok=True)


def test_the_most_frequent_prototypes_have_colours() -> None:
    assert most_frequent([np.array([4, 4, 2, -1, -1, -1]), np.array([2, 2, 1])], 2) == [2, 4]


def test_top_prototypes_and_counts_by_hand() -> None:
    weights = np.array([[[0.1, 0.5, 0.4], [0.3, 0.3, 0.2]], [[0.3, 0.5, 0.2], [0.3, 0.3, 0.0]]])
    table = top_prototypes(weights, ["A", "B"], top=2)
    assert table["weight"].tolist() == pytest.approx([0.2, 0.5, 0.3, 0.3, 0.3, 0.1])
    assert table["rank"].tolist() == [3, 1, 2, 1, 2, 3]  # of equal ones the lower number first
    assert table.loc[table["top"], "prototype"].tolist() == [2, 3, 1, 2]
    assert table["deviation"].iloc[0] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    counts = counts_of(table)
    assert counts["top"].to_dict() == {1: 1, 2: 2, 3: 1}
    assert counts["first"].to_dict() == {1: 1, 2: 1, 3: 0}
    eight = top_prototypes(np.random.default_rng(0).random((3, 50, 32)), [f"set {i}" for i in range(50)])
    assert (eight.groupby("pathway")["top"].sum() == 8).all()
    assert counts_of(eight)["top"].sum() == 50 * 8
    assert counts_of(eight)["first"].sum() == 50


@pytest.mark.parametrize("weights", [np.full((1, 2, 3), 0.25), np.zeros((1, 2, 3)), np.eye(3)[None, :2]])
def test_top_prototypes_of_equal_and_of_no_weights_are_drawn(weights: np.ndarray) -> None:
    table = top_prototypes(weights, ["A", "B"], top=2)
    assert table["deviation"].isna().all()
    assert to_svg(draw_top_prototypes(table, "one patient"))


def test_risks_are_halved_and_the_nearest_to_each_median_comes_first() -> None:
    assert by_half(np.array([5.0, 1.0, 2.0, 9.0, 3.0, 6.0])) == {"high": [5, 0, 3], "low": [2, 1, 4]}
    assert by_half(np.array([2.0, 2.0, 2.0])) == {"low": [0, 1, 2]}


# places on the slide

CORNERS = np.array([[100, 50], [200, 50], [300, 150]])


def test_maps_lie_where_the_patches_do() -> None:
    covering = Tiles(CORNERS, 100, width=500, height=250).covering(longest=10)
    assert covering.shape == (5, 10)
    wanted = np.full((5, 10), -1)
    wanted[1:3, 2:4], wanted[1:3, 4:6], wanted[3:5, 6:8] = 0, 1, 2
    np.testing.assert_array_equal(covering, wanted)


def test_without_the_slides_size_the_map_is_that_of_the_patches() -> None:
    tiles = Tiles(CORNERS, 100)
    assert tiles.extent == (100, 400, 250, 50)
    assert set(np.unique(tiles.covering(6))) == {-1, 0, 1, 2}


def test_a_patch_below_a_pixel_is_not_lost() -> None:
    corners = np.array([[0, 0], [90_000, 40_000]])
    covering = Tiles(corners, 10, width=100_000, height=50_000).covering(20)
    assert covering[0, 0] == 0
    assert covering[8, 18] == 1
    assert (covering >= 0).sum() == 2


@pytest.mark.parametrize(
    ("tiles", "bar"),
    [
        (Tiles(CORNERS, 100, 40_000, 30_000, 0.25), (8000, "2 mm")),
        (Tiles(CORNERS, 100, 2_000, 1_000, 0.5), (400, "200 µm")),
        (Tiles(CORNERS, 100, 40_000, 30_000), (10_000, "10000 px")),
    ],
)
def test_the_scale_bar_is_a_quarter_of_the_width_at_most(tiles: Tiles, bar: tuple[float, str]) -> None:
    assert scale_bar(tiles) == bar


def test_both_shares_are_drawn_and_named() -> None:
    rng = np.random.default_rng(0)
    shares = {"softmax": rng.random((3, 10)), "plan": rng.random((3, 10)) * [[1], [0], [1]]}
    figure = draw_assignment(Tiles(CORNERS, 100, 500, 250, 0.5, np.zeros((4, 8, 3), np.uint8)), shares, "slide")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [
        "stored thumbnail", "softmax: prototype", "softmax: its share", "plan: prototype", "plan: its share",
    ]  # fmt: skip
    assert to_svg(figure)
    single = draw_single_maps(Tiles(CORNERS, 100), shares["softmax"], "slide")
    assert [axes.get_title(loc="left") for axes in single.axes][:10] == [str(number + 1) for number in range(10)]
    assert [len(axes.lines) for axes in single.axes[:10]] == [1] + [0] * 9  # the scale bar
    pictures = [axes.images[0] for axes in single.axes[:10]]
    assert {picture.get_clim() for picture in pictures} == {(0.0, shares["softmax"].max())}


# which rows of a unit's bag are a slide's


def with_coords(path: Path, coords: np.ndarray, **attributes: float) -> None:
    with h5py.File(path, "a") as file:
        file["coords"] = coords.astype(np.int64)
        file["coords"].attrs.update(attributes)


def features(path: Path, patches: int) -> Path:
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((patches, 4), np.float32)
    return path


def test_rows_of_the_first_slide_with_places(tmp_path: Path) -> None:
    files = [features(tmp_path / f"{name}.h5", count) for name, count in (("a", 3), ("b", 4), ("c", 2))]
    coords = np.arange(8).reshape(4, 2) * 10
    with_coords(files[1], coords, patch_size_level0=10, level0_width=90, level0_height=80, level0_mpp=0.5)
    part = slide_part(["a", "b", "c"], files, None, tmp_path)
    assert part is not None
    assert (part.slide, part.rows.tolist()) == ("b", [3, 4, 5, 6])
    np.testing.assert_array_equal(part.tiles.corners, coords)
    assert (part.tiles.side, part.tiles.width, part.tiles.mpp) == (10, 90, 0.5)
    assert part.tiles.thumbnail is None
    assert slide_part(["a", "c"], [files[0], files[2]], None, None) is None


def test_places_of_the_patches_that_the_model_looks_at(tmp_path: Path) -> None:
    files = [features(tmp_path / "a.h5", 30), features(tmp_path / "b.h5", 40)]
    coords = np.stack([np.arange(40), np.arange(40)], axis=1) * 7
    with_coords(files[1], coords)
    bag = np.arange(70, dtype=np.float32)[:, None]
    looked = CappedBags(ArrayBags([bag]), 20)[0][:, 0].astype(int)
    np.testing.assert_array_equal(tokens_of(70, 20), looked)
    part = slide_part(["a", "b"], files, 20, None)
    assert part is not None
    np.testing.assert_array_equal(part.tiles.corners, coords[looked[part.rows] - 30])
    assert part.tiles.side == 7  # files that do not say it: the smallest step
    assert "7 level-0 pixels is inferred" in part.tiles.side_said


def test_the_size_of_patches_over_several_pieces_of_tissue(tmp_path: Path) -> None:
    """CLAM's grids of two pieces of tissue are shifted against each other by less than a patch."""
    grid = np.stack(np.meshgrid(np.arange(3), np.arange(4)), axis=-1).reshape(-1, 2) * 256
    coords = np.concatenate([grid + np.array(corner) for corner in ((1000, 500), (9003, 507))])
    path = features(tmp_path / "a.h5", len(coords))
    with_coords(path, coords)
    part = slide_part(["a"], [path], None, None)
    assert part is not None
    assert (part.tiles.side, part.tiles.inferred) == (256, True)


@pytest.mark.parametrize(
    ("coords", "side"),
    [
        ([[0, 0]], 1.0),
        ([[0, 0], [0, 512]], 512.0),
        ([[0, 0], [256, 0], [1024, 0]], 256.0),  # a gap in the tissue
        ([[0, 0], [7, 9]], 7.0),  # no column or row of two
    ],
)
def test_the_step_of_few_patches(coords: list[list[int]], side: float) -> None:
    assert stride(np.array(coords)) == side


# a saved model


def trained(store: Store, **network: Any) -> Data:
    """A small TTA trained on the store's cohort, its models kept."""
    sets = str(store.folder / "sets.csv")
    place = ModelPlace(str(store.folder / "results"), "c", "uni", "tta", "all-data")
    plan = store.plan("tta", saved=place, shots=[], tasks=["survival"])
    sizes = {"prototypes": 6, "heads": 0, **network}
    plan = replace(plan, method={**plan.method, "gene_sets": sets, "network": {**plan.method["network"], **sizes}})
    folder = store.predict(plan, store.inputs(gene_sets=sets), "results/predictions/honest/c/uni/tta")
    files = [store.folder / name for name in ("cohort.parquet", "index.tsv", "rna.parquet", "sets.csv")]
    cohort, index, expression, gene_sets = files
    return Data(cohort, folder / "manifest.json", index, expression, "patient", gene_sets)


def drawn(store: Store, data: Data) -> tuple[dict[str, str], dict[str, str], Path]:
    """Captions of the figures, reasons of what was left out, and the folder."""
    folder = store.folder / "prototypes/honest/c/uni/tta"
    draw_prototypes(data, None, folder)
    record = json.loads((folder / "figures.json").read_text())
    captions = {one["name"]: one["caption"] for one in record["figures"]}
    return captions, {one["name"]: one["why"] for one in record["left_out"]}, folder


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not rendered: the workflow's tests look at their files."""
    for name in ("to_svg", "to_png"):
        monkeypatch.setattr(figure_files, name, lambda figure: b"")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Data]:
    """A cohort whose slides have places, and a model of it: to look at."""
    store = Store(tmp_path_factory.mktemp("plain"))
    give_places(store)
    return store, trained(store)


def give_places(store: Store) -> None:
    for slides in store.frame["slide_ids"]:
        for slide in slides:
            with h5py.File(store.folder / f"{slide}.h5") as file:
                count = len(file["features"])
            with_coords(store.folder / f"{slide}.h5", np.arange(2 * count).reshape(count, 2) * 256)


@pytest.mark.usefixtures("unrendered")
def test_a_fold_is_drawn_by_its_own_model_on_patients_it_was_not_trained_on(plain: tuple[Store, Data]) -> None:
    store, data = plain
    captions, left_out, folder = drawn(store, data)
    assert not left_out
    assert set(captions) == {
        "prototypes", "tokens", "pathways", "slide_high", "slide_low", "single_softmax", "single_plan",
    }  # fmt: skip
    assert all(
        "the model of fold 0, seed 42, on evaluation patients of that fold alone" in one for one in captions.values()
    )
    for name in ("prototypes", "tokens"):
        assert "Distances and sizes on the map mean nothing" in captions[name]
    assert "Perplexity 1," in captions["prototypes"]
    assert "Perplexity 3," in captions["tokens"]
    units = evaluated_units(data, first_model(data.manifest)[1])
    fold = read_fold(store.folder / "splits_0.csv")
    assert set(units["patient"]) <= set(fold.val)
    assert not set(units["patient"]) & set(fold.train)
    assert not any("Left out" in one for one in captions.values())
    pathways = pd.read_csv(folder / "pathways.csv")
    assert set(pathways["pathway"]) == {"ONE", "TWO"}  # the third set has no gene in the matrix
    assert len(pathways) == 2 * 6
    tokens = pd.read_parquet(folder / "tokens.parquet")
    assert len(tokens) == 2 * 2 * 6
    for half in ("high", "low"):
        table = pd.read_parquet(folder / f"slide_{half}.parquet")
        softmax = table[[f"softmax_{number + 1}" for number in range(6)]].to_numpy()
        assert softmax.sum(1) == pytest.approx(np.ones(len(table)), rel=1e-5)
        assert (table["softmax_prototype"] == softmax.argmax(1) + 1).all()
        assert (table[["x", "y"]].to_numpy() == np.arange(2 * len(table)).reshape(-1, 2) * 256).all()
    assert all((folder / f"{name}.{ending}").exists() for name in captions for ending in ("svg", "png"))


@pytest.mark.usefixtures("unrendered")
def test_patients_on_whom_the_fold_was_trained_are_not_drawn(plain: tuple[Store, Data], tmp_path: Path) -> None:
    """Published folds may share patients."""
    store, data = plain
    fold = read_fold(store.folder / "splits_0.csv")
    predicted = evaluated_units(data, first_model(data.manifest)[1])
    shared = predicted["patient"].iloc[0]
    write_fold(tmp_path / "splits_0.csv", replace(fold, train=(*fold.train, shared)))
    data = replace(data, splits=[tmp_path / "splits_0.csv"])
    kept = held_out(data, predicted, 0)
    assert kept["patient"].tolist() == predicted["patient"].tolist()[1:]
    captions, _, _ = drawn(store, data)
    for caption in captions.values():
        assert f"(n = {len(kept)} units), whom it was not trained on. Left out: 1 evaluation units" in caption
    write_fold(tmp_path / "splits_0.csv", replace(fold, train=(*fold.train, *fold.val)))
    captions, left_out, _ = drawn(store, data)
    assert captions == {}
    assert left_out == {"prototypes": f"fold 0 was trained on the patients of all {len(predicted)} evaluation units"}


@pytest.mark.usefixtures("unrendered")
def test_what_cannot_be_drawn_is_said(store: Store) -> None:
    captions, left_out, _ = drawn(store, trained(store, anchors=False, contrast_weight=0.0, prototypes=4))
    assert set(captions) == {"pathways"}
    assert "4 vectors are too few for t-SNE" in left_out["prototypes"]
    assert "no refiner" in left_out["tokens"]
    assert "has coords of its patches" in left_out["slide_high"]
    assert set(left_out) == {"prototypes", "tokens", "slide_high", "slide_low", "single_softmax", "single_plan"}


@pytest.mark.usefixtures("unrendered")
def test_a_model_without_a_plan_is_drawn_by_its_softmax(store: Store) -> None:
    give_places(store)
    captions, left_out, folder = drawn(store, trained(store, transport="off", shared=False))
    assert "This slide has no plan" in captions["slide_high"]
    assert "6 prototypes of slides and 6 of RNA" in captions["prototypes"]
    assert list(left_out) == ["single_plan"]
    assert not any(name.startswith("plan") for name in pd.read_parquet(folder / "slide_high.parquet").columns)


def test_features_that_changed_since_are_refused(plain: tuple[Store, Data], tmp_path: Path) -> None:
    index = pd.read_csv(plain[1].index, sep="\t")
    for number, path in enumerate(index["path"]):
        with h5py.File(path) as file, h5py.File(tmp_path / f"{number}.h5", "w") as changed:
            changed["features"] = file["features"][...] * -20
    index.assign(path=[str(tmp_path / f"{number}.h5") for number in index.index]).to_csv(
        tmp_path / "index.tsv", sep="\t", index=False
    )
    with pytest.raises(InputError, match="another risk than its predictions file; features or expression changed"):
        draw_prototypes(replace(plain[1], index=tmp_path / "index.tsv"), None, tmp_path / "prototypes/honest/c/uni/tta")


def test_a_manifest_without_a_model_is_named(plain: tuple[Store, Data], tmp_path: Path) -> None:
    record, path = json.loads(plain[1].manifest.read_text()), tmp_path / "manifest.json"
    path.write_text(json.dumps(record | {"models": {}}))
    with pytest.raises(InputError, match=r"manifest\.json: names no model of survival \(none was trained\)"):
        first_model(path)
    path.write_text(json.dumps(record | {"models": dict.fromkeys(record["models"], "another")}))
    with pytest.raises(InputError, match=r"not the model that .* names; delete that manifest and run again"):
        first_model(path)


def test_the_cosine_is_between_mean_tokens() -> None:
    assert cosine_of_means([np.array([[1.0, 0], [3, 0]]), np.array([[0.0, 2], [0, 4]])]) == 0
    assert cosine_of_means([np.eye(2), np.eye(2)]) == pytest.approx(1)


# what is planned


def folders(**methods: Any) -> list[str]:
    config = yaml.safe_load(TINY.read_text())
    config["methods"] = {"majority": None, **methods}
    run = Run(resolve(config))
    return PrototypeInputs(run, PredictionInputs(run)).folders()


def test_only_a_run_with_tta_has_figures_of_prototypes() -> None:
    assert folders() == []
    assert folders(tta={"gene_sets": "random"}) == [
        f"results/tiny/prototypes/{protocol}/tiny/resnet50-random/tta" for protocol in ("honest", "paper")
    ]
    variant = {"tta--released": {"gene_sets": "random", "preset": "released"}}
    assert folders(**variant) == []  # on request
