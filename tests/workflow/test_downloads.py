"""Expression and probe map by name, from a server on this machine to the store's parquet."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from file_server import FileServer, serving
from mirrorflow.store.expression import read_expression
from mirrorflow.store.tables import read_fold
from runner import CONFIGS, changed_config, planned, succeed

pytestmark = pytest.mark.workflow

NAME = "tcga_RSEM_isoform_fpkm"
PROBEMAP = "gencode.v23.annotation.transcript.probemap"
PARQUET = "fetched/expression/tiny/tiny.parquet"


@pytest.fixture
def hub(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """The tiny cohort's simulated files, which are in Xena's formats, under Xena's kind of addresses."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    rna = tiny / "store" / "simulated" / "tiny" / "rna"
    with serving() as running:
        running.files[f"/download/{NAME}.gz"] = (rna / "isoform_fpkm.tsv.gz").read_bytes()
        running.files[f"/download/probeMap%2F{PROBEMAP}"] = (rna / "transcript.probemap").read_bytes()
        yield running


def test_a_source_by_name_is_fetched_once_and_kept(hub: FileServer, tiny: Path, tmp_path: Path) -> None:
    addresses = {
        NAME: {"url": f"{hub.url}/download/{NAME}.gz"},
        PROBEMAP: {"url": f"{hub.url}/download/probeMap%2F{PROBEMAP}"},
    }
    simulated = tiny / "store" / "simulated" / "tiny"
    config = changed_config(
        tmp_path,
        CONFIGS / "tiny.yaml",
        store="fetched",
        downloads=addresses,
        **{
            "expression.sources.tiny": {"download": NAME},
            "cohorts.tiny.slides.sheet": str(simulated / "slides.tsv"),
        },
    )
    succeed(tmp_path, config, PARQUET)
    fetched, made = (
        read_expression(path) for path in (tmp_path / PARQUET, tiny / "store/expression/tiny/tiny.parquet")
    )
    np.testing.assert_array_equal(fetched.values, made.values)
    assert fetched.symbols == made.symbols
    assert len(hub.requests) == 2
    assert planned(tmp_path, config, PARQUET) == {}
    # Snakemake deletes a rule's outputs before it runs again: what was fetched outlives that.
    succeed(tmp_path, config, f"fetched/downloads/{NAME}/{NAME}.gz", "--force")
    assert (tmp_path / "fetched" / "downloads" / NAME / f"{NAME}.gz").stat().st_size > 0
    assert len(hub.requests) == 2


def test_published_folds_are_files_of_one_data_set(hub: FileServer, tiny: Path, tmp_path: Path) -> None:
    drawn = tiny / "results/tiny/slide-random-cohort-none-best/tiny/splits"
    for path in drawn.glob("splits_*.csv"):
        hub.files[f"/folds/{path.name}"] = path.read_bytes() + b"\n" * 512  # no data set is shorter
    config = changed_config(
        tmp_path,
        CONFIGS / "tiny.yaml",
        downloads={"theirs": {"url": f"{hub.url}/folds/{{file}}"}},
        protocols={"paper": {}},
        **{"cohorts.tiny.splits": {"published": {"download": "theirs"}}},
    )
    files = [f"store/downloads/theirs/splits_{fold}.csv" for fold in range(2)]
    succeed(tmp_path, config, *files)
    assert [read_fold(tmp_path / path) for path in files] == [read_fold(drawn / Path(path).name) for path in files]
    jobs = planned(tmp_path, config, "results/tiny/slide-published-cohort-none-best/tiny/splits/splits_0.csv")
    assert jobs["make_splits"] == 1
    assert "download_dataset" not in jobs
