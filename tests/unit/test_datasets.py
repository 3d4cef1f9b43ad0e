"""Data sets by name, in sources.tsv and in the config."""

import re
from urllib.parse import urlsplit

import pytest

from mirrorflow.config.datasets import CHECKSUM, COLUMNS, SOURCES, find_dataset, read_sources
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError

SURVIVAL = "Survival_SupplementalTable_S1_20171025_xena_sp"


def config(**changes: object) -> dict:
    source = changes.pop("source", {"download": "tcga_RSEM_isoform_fpkm"})
    clinical = changes.pop("clinical", {"download": {"survival": SURVIVAL, "matrix": "BRCA_clinicalMatrix"}})
    cohort = {"slides": {"sheet": "s.tsv"}, "clinical": clinical, "expression": "toil", "encoders": ["uni"]}
    cohort["splits"] = changes.pop("splits", {})
    cohort["features"] = {"uni": "features"}
    minimal = {"run": "r", "store": "st", "cohorts": {"brca": cohort}, "expression": {"sources": {"toil": source}}}
    return resolve(minimal | changes)


def test_the_list_of_sources_is_complete_and_well_formed():
    rows = read_sources()
    lines = SOURCES.read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    assert len(rows) == len(lines) - 1
    for row in rows.values():
        assert set(row) == set(COLUMNS)
        assert urlsplit(row["url"]).scheme == "https"
        assert row["licence"]
        assert not row["checksum"] or CHECKSUM.match(row["checksum"])
        assert not row["size"] or int(row["size"]) > 0
        assert not row["date"] or re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["date"])
        assert not row["probemap"] or row["probemap"] in rows


def test_named_data_sets_become_paths_in_the_store_and_bring_their_probe_map():
    resolved = config()
    source = resolved["expression"]["sources"]["toil"]
    assert source["matrix"] == "st/downloads/tcga_RSEM_isoform_fpkm/tcga_RSEM_isoform_fpkm.gz"
    assert source["probemap"].endswith("/gencode.v23.annotation.transcript.probemap")
    clinical = resolved["cohorts"]["brca"]["clinical"]
    assert clinical["matrix"] == "st/downloads/BRCA_clinicalMatrix/BRCA_clinicalMatrix"
    assert clinical["survival"] == f"st/downloads/{SURVIVAL}/{SURVIVAL}"
    assert "download" not in source
    assert "download" not in clinical
    assert {entry["path"] for entry in resolved["downloads"].values()} == {
        source["matrix"],
        source["probemap"],
        clinical["matrix"],
        clinical["survival"],
    }


def test_an_address_of_ones_own_changes_where_from_but_not_where_to():
    listed = config()["downloads"]["tcga_RSEM_isoform_fpkm"]
    checksum = "md5:" + "0" * 32
    own = {"url": "https://mirror.example/x.gz", "checksum": checksum, "size": 9}
    mine = config(downloads={"tcga_RSEM_isoform_fpkm": own})["downloads"]["tcga_RSEM_isoform_fpkm"]
    assert (mine["url"], mine["checksum"], mine["size"]) == (own["url"], checksum, 9)
    assert mine["path"] == listed["path"]


def test_own_files_and_data_sets_mix():
    clinical = {"download": {"survival": SURVIVAL}, "matrix": "my.tsv"}
    source = {"download": "tcga_RSEM_isoform_fpkm", "probemap": "my.probemap"}
    resolved = config(clinical=clinical, source=source)
    assert resolved["cohorts"]["brca"]["clinical"]["matrix"] == "my.tsv"
    assert resolved["expression"]["sources"]["toil"]["probemap"] == "my.probemap"
    assert set(resolved["downloads"]) == {SURVIVAL, "tcga_RSEM_isoform_fpkm"}


def test_a_set_of_ones_own_is_named_after_its_address_where_that_can_be_a_name():
    named = find_dataset("mine", {"mine": {"url": "https://x.example/download/a%2Fb.tsv.gz?token=1"}}, "here")
    assert named["file"] == "b.tsv.gz"
    assert find_dataset("mine", {"mine": {"url": "https://x.example/get?id=7"}}, "here")["file"] == "get"
    assert find_dataset("mine", {"mine": {"url": "https://x.example/a b"}}, "here")["file"] == "mine"


def test_several_matrices_make_one_cohort():
    names = ["KIRC_clinicalMatrix", "KICH_clinicalMatrix"]
    resolved = config(clinical={"download": {"survival": SURVIVAL, "matrix": names}})
    assert resolved["cohorts"]["brca"]["clinical"]["matrix"] == [f"st/downloads/{name}/{name}" for name in names]


def test_folds_by_name_are_a_folder_of_files():
    resolved = config(splits={"published": {"download": "mirror_folds_brca"}, "own": "my/folds"})
    assert resolved["cohorts"]["brca"]["splits"] == {"published": "st/downloads/mirror_folds_brca", "own": "my/folds"}
    assert resolved["downloads"]["mirror_folds_brca"]["url"].endswith("/tcga_brca/{file}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"splits": {"published": {"download": "BRCA_clinicalMatrix"}}}, "needs {file}"),
        ({"source": {"download": "mirror_folds_brca"}}, "stands for several files"),
        ({"source": {"download": "toil"}}, "expression.sources.toil.download: no data set 'toil'"),
        ({"clinical": {"download": {"survival": SURVIVAL}}}, "no matrix"),
        ({"source": {"download": "x"}, "downloads": {"x": {}}}, "downloads.x: needs a `url`"),
        (
            {"source": {"download": "x"}, "downloads": {"x": {"url": "https://x.example/y", "checksum": "md5:12"}}},
            "neither md5:<32 digits>",
        ),
        ({"source": {"download": "tcga_RSEM_isoform_fpkm", "matrix": "m.tsv"}}, "needs exactly one of"),
        ({"downloads": {"x": {"url": "ftp://x.example/y"}}}, "downloads.x.url"),
    ],
)
def test_what_cannot_be_fetched_is_said_before_a_run(changes: dict, said: str):
    with pytest.raises(ConfigError, match=re.escape(said)):
        config(**changes)
