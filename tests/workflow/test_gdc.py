"""Slides from a GDC on this machine, through patches to features, deleted on the way; nothing is done twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from gdc_server import Gdc, gdc_serving
from runner import changed_config, planned, succeed
from slide_factory import simple, write_svs

pytestmark = pytest.mark.workflow

ENCODER: dict[str, Any] = {"model": "resnet50", "weights": "random", "image_size": 64}
RESULTS = [
    "results/gdc/features/x/resnet50-random.tsv",
    "store/slides/x/256px-20x/ledger.tsv",
    "store/gdc/x/dropped/0.tsv",
    "store/gdc/x/dropped/1.tsv",
]


@pytest.fixture(scope="module")
def gdc() -> Iterator[Gdc]:
    with pytest.MonkeyPatch.context() as environment, gdc_serving(page=2) as running:
        environment.setenv("no_proxy", "127.0.0.1")
        yield running


@pytest.fixture(scope="module")
def config(gdc: Gdc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gdc")
    for number in range(4):
        slide = write_svs(folder / "made.svs", simple(1024 + 64 * number, 800))
        data = slide.read_bytes()
        gdc.add(f"TCGA-AA-000{number}-01Z-00-DX1.svs", data[:2000] if number == 3 else data, f"TCGA-AA-000{number}")
    slides = {"gdc": {"projects": ["TCGA-X"], "endpoint": gdc.server.url, "keep": False, "ahead": 1}}
    cohort = {
        "slides": slides,
        "clinical": {"sheet": "patients.tsv"},
        "expression": "rna",
        "encoders": ["resnet50-random"],
    }
    config = {
        "run": "gdc",
        "cohorts": {"x": cohort},
        "slides": {"shards": 2},
        "features": {"encoders": {"resnet50-random": ENCODER}},
        "expression": {"sources": {"rna": {"matrix": "rna.tsv"}}},
    }
    path = folder / "gdc.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def folder(config: Path) -> Path:
    """Where the run took place: GDC to features, slides deleted."""
    succeed(config.parent, config, *RESULTS)
    return config.parent


def slides(folder: Path) -> list[str]:
    """Slide files on the disk."""
    return sorted(path.name for path in (folder / "store/gdc/x/files").glob("*.svs"))


def test_slides_become_features_and_are_deleted(folder: Path) -> None:
    index = pd.read_csv(folder / RESULTS[0], sep="\t", dtype=str)
    assert list(index["status"]) == ["ok", "ok", "ok", "missing"]
    assert list(index["patient"]) == [f"TCGA-AA-000{number}" for number in range(4)]
    ledger = pd.read_csv(folder / RESULTS[1], sep="\t", index_col="slide_id")
    assert ledger.loc["TCGA-AA-0003-01Z-00-DX1", "status"] == "failed"
    assert slides(folder) == ["TCGA-AA-0003-01Z-00-DX1.svs"]  # what failed stays, to be looked at


def test_a_second_run_is_a_no_op(folder: Path, config: Path, gdc: Gdc) -> None:
    before = list(gdc.server.requests)
    assert planned(folder, config, *RESULTS) == {}
    said = succeed(folder, config, *RESULTS)
    assert "Nothing to be done" in said
    assert gdc.server.requests == before


def test_a_touched_sheet_fetches_and_encodes_nothing_again(folder: Path, config: Path, gdc: Gdc) -> None:
    features = {path: path.stat().st_mtime_ns for path in (folder / "store/features").rglob("*.h5")}
    (folder / "store/gdc/x/slides.tsv").touch()
    before = gdc.downloads()
    succeed(folder, config, *RESULTS)
    assert gdc.downloads() == before
    assert {path: path.stat().st_mtime_ns for path in (folder / "store/features").rglob("*.h5")} == features


def test_another_encoder_fetches_them_again_and_redoes_nothing(folder: Path, config: Path, gdc: Gdc) -> None:
    features = {path: path.stat().st_mtime_ns for path in (folder / "store/features").rglob("*.h5")}
    more = changed_config(
        folder,
        config,
        **{
            "cohorts.x.encoders": ["resnet50-random", "second-random"],
            "features.encoders.second-random": ENCODER | {"seed": 1},
        },
    )
    wanted = [*RESULTS, "results/gdc/features/x/second-random.tsv"]
    before = len(gdc.downloads())
    succeed(folder, more, *wanted)
    assert len(gdc.downloads()) - before == 3
    assert {path: path.stat().st_mtime_ns for path in features} == features
    assert len(list((folder / "store/features/x/256px-20x/second-random").glob("*.h5"))) == 3
    assert slides(folder) == ["TCGA-AA-0003-01Z-00-DX1.svs"]
    assert planned(folder, more, *wanted) == {}


def test_features_deleted_by_hand_come_back(folder: Path, config: Path, gdc: Gdc) -> None:
    encoder = folder / "store/features/x/256px-20x/resnet50-random"
    for path in [*encoder.glob("*.h5"), *encoder.glob("shards/*")]:
        path.unlink()
    succeed(folder, config, *RESULTS)
    assert len(list(encoder.glob("*.h5"))) == 3
    assert slides(folder) == ["TCGA-AA-0003-01Z-00-DX1.svs"]
