import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.steps.expression.select_genes import GeneFiles, select_genes
from mirrorflow.store.expression import ExpressionWriter
from mirrorflow.store.genes import COPIES, read_genes, read_record

GENES = [f"t{number:02d}" for number in range(30)]
SYMBOLS = [f"G{number // 2:02d}" for number in range(30)]
PATIENTS = [f"p{number:02d}" for number in range(24)]
LABELS = {patient: ("a", "b", "")[number % 3] for number, patient in enumerate(PATIENTS)}
CENSUS = "GENE_SYMBOL\tTIER\tTUMOUR_TYPES_SOMATIC\tSYNONYMS\nG00\t1\tbreast\t\nG07\t1\tbreast\t\nG08\t2\tbreast\t\n"
DRIVERS = "cohort\tgene\ndemo\tG05\nother\tG06\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An expression file in which t00 and t01 (both G00) separate the classes; census and drivers."""
    values = np.random.default_rng(0).standard_normal((30, 24)).astype(np.float32)
    values[:2, [number for number in range(24) if number % 3 == 1]] += 4
    (tmp_path / "expression/rna").mkdir(parents=True)
    with ExpressionWriter(tmp_path / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, values)
        writer.finish({"seed": 0}, {})
    (tmp_path / "census.tsv").write_text(CENSUS)
    (tmp_path / "drivers.tsv").write_text(DRIVERS)
    (tmp_path / "sets.csv").write_text("S\nG03\nG04\n")
    return tmp_path


def select(place: Path, settings: dict, *, train=PATIENTS, labels=LABELS, census: bool = True, seed: int = 0):
    files = GeneFiles(
        place / "expression/rna/demo.parquet", place / "census.tsv" if census else None, place / "drivers.tsv"
    )
    select_genes(
        files,
        train,
        labels,
        place / "fold2.tsv",
        settings,
        fold=2,
        seed=seed,
        threads=1,
    )
    return read_genes(place / "fold2.tsv"), read_record(place / "fold2.tsv")


RFE = {"method": "rfe", "rfe": {"cv": 3}, "tiers": [1], "tumour_types": ["breast"]}


def test_rfe_joined_with_the_census(place: Path):
    table, record = select(place, RFE)
    by_id = table.set_index("id")
    assert table.columns.tolist() == ["id", "gene", "reason", "rank", "coefficient", "fold", "labels_seen"]
    assert by_id.loc["t14", "reason"] == by_id.loc["t15", "reason"] == "census"
    assert by_id.loc[table["id"][0], "reason"] == "both"
    assert table["gene"][0] == "G00"
    assert table["rank"][0] == 1
    assert set(table["fold"]) == {2}
    assert set(table["labels_seen"]) == {16}
    assert record["label_patients"] == [patient for patient in PATIENTS if LABELS[patient]]
    assert record["curated"]["unmatched"] == []
    assert not {"t16", "t17"} & set(table["id"])  # tier 2


def test_unlabelled_and_evaluation_patients_are_never_looked_at(place: Path):
    train = PATIENTS[:18]
    table, record = select(place, RFE, train=train)
    assert set(record["value_patients"]) == {patient for patient in train if LABELS[patient]}
    other = LABELS | dict.fromkeys(PATIENTS[18:], "a")
    (place / "fold2.json").unlink()
    shutil.rmtree(place / COPIES)
    again, _ = select(place, RFE, train=train, labels=other)
    assert table.equals(again)


def test_finished_work_is_kept_and_other_work_is_not(place: Path):
    select(place, RFE)
    before = (place / "fold2.tsv").stat().st_mtime_ns
    select(place, RFE)
    assert (place / "fold2.tsv").stat().st_mtime_ns == before
    (place / "fold2.tsv").write_text("cut off")
    table, _ = select(place, RFE)
    assert len(table) > 2
    flipped = LABELS | {PATIENTS[0]: "b"}
    assert select(place, RFE, labels=flipped)[1]["digest"] != select(place, RFE)[1]["digest"]


def test_what_snakemake_removed_comes_from_its_copy_and_a_broken_copy_does_not(place: Path, monkeypatch):
    table, record = select(place, RFE)
    with monkeypatch.context() as without:
        without.setattr("mirrorflow.steps.expression.select_genes.by_elimination", None)
        for ending in ("tsv", "json"):
            (place / f"fold2.{ending}").unlink()
        again, same = select(place, RFE)
        assert again.equals(table)
        assert same == record
        shutil.rmtree(place / COPIES)
        select(place, RFE)
        assert (place / COPIES / "fold2.tsv").read_text() == (place / "fold2.tsv").read_text(), (
            "copied where it was not"
        )
        (place / "fold2.tsv").unlink()
        (place / COPIES / "fold2.tsv").write_text("cut off")
        with pytest.raises(TypeError):
            select(place, RFE)
    assert select(place, RFE)[0].equals(table)
    assert (place / COPIES / "fold2.tsv").read_text() == (place / "fold2.tsv").read_text()


def test_folds_by_site_are_part_of_what_genes_are_made_of(place: Path):
    by_site = RFE | {"rfe": {"cv": 3, "cv_by": "site"}}
    sites = {patient: "uvwxyz"[number // 4] for number, patient in enumerate(PATIENTS)}
    files = GeneFiles(place / "expression/rna/demo.parquet", place / "census.tsv", place / "drivers.tsv", sites=sites)
    how = {"fold": 2, "seed": 0, "threads": 1}
    select_genes(files, PATIENTS, LABELS, place / "fold2.tsv", by_site, **how)
    record = read_record(place / "fold2.tsv")
    assert record["selection"]["folds_by"] == "site"
    other = replace(files, sites=sites | {PATIENTS[0]: "z"})
    select_genes(other, PATIENTS, LABELS, place / "fold2.tsv", by_site, **how)
    assert read_record(place / "fold2.tsv")["digest"] != record["digest"]
    assert "sites" not in select(place, RFE)[1]["settings"]  # what was made before keeps its digest
    with pytest.raises(InputError, match="16 labelled patients have no site"):
        select(place, by_site)


def test_another_folds_genes_are_taken_over_where_they_are_made_of_the_same(place: Path, monkeypatch):
    select(place, RFE)
    alone = GeneFiles(place / "expression/rna/demo.parquet", place / "census.tsv", place / "drivers.tsv")
    of_fold = replace(alone, first=place / "fold2.tsv")
    how = {"fold": 3, "seed": 0, "threads": 1}
    select_genes(alone, PATIENTS, LABELS, place / "alone.tsv", RFE, **how)
    monkeypatch.setattr("mirrorflow.steps.expression.select_genes.by_elimination", None)
    select_genes(of_fold, PATIENTS, LABELS, place / "fold3.tsv", RFE, **how)
    assert (place / "fold3.tsv").read_text() == (place / "alone.tsv").read_text()
    assert read_record(place / "fold3.tsv") == read_record(place / "alone.tsv")
    assert set(read_genes(place / "fold3.tsv")["fold"]) == {3}
    with pytest.raises(TypeError):  # other patients: chosen anew
        select_genes(of_fold, PATIENTS[:18], LABELS, place / "fold3.tsv", RFE, **how)


def test_without_a_census_the_drivers_stand_in_and_the_run_says_so(place: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        table, record = select(place, RFE, census=False)
    assert set(table.loc[table["reason"] == "drivers", "gene"]) == {"G05"}
    assert record["curated"]["stand_in"] is True
    assert "stands in" in caplog.text


def test_ids_instead_of_symbols_are_said_where_no_census_gene_is_found(place: Path, caplog: pytest.LogCaptureFixture):
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, GENES, np.random.default_rng(0).standard_normal((30, 24)).astype(np.float32))
        writer.finish({"seed": 3}, {})
    with caplog.at_level(logging.WARNING):
        table, _ = select(place, {"method": "variance", "n_genes": 2})
    assert set(table["reason"]) == {"variance"}
    assert "none of its 3 genes is in the expression, whose genes are named t00, t01, t02" in caplog.text


@pytest.mark.parametrize(
    ("settings", "reasons", "labels_seen"),
    [
        ({"method": "variance", "n_genes": 3}, {"variance": 3}, 0),
        ({"method": "univariate_f", "n_genes": 2}, {"univariate_f": 2}, 16),
        ({"method": "families", "gene_sets": "sets.csv"}, {"families": 4}, 0),
        ({"method": "pathways", "gene_sets": "sets.csv"}, {"pathways": 4}, 0),
        ({"method": "none"}, {"all": 30}, 0),
    ],
)
def test_other_methods_without_the_census(place: Path, settings: dict, reasons: dict, labels_seen: int):
    if "gene_sets" in settings:
        settings = settings | {"gene_sets": str(place / settings["gene_sets"])}
    table, record = select(place, settings | {"census": False})
    assert table["reason"].value_counts().to_dict() == reasons
    assert set(table["labels_seen"]) == {labels_seen}
    assert len(record["label_patients"]) == labels_seen


@pytest.mark.parametrize("scaling", ["none", "train"])
def test_the_largest_variance_is_that_of_the_values_not_of_z_scores(place: Path, scaling: str, caplog):
    """Scaled to one spread, genes would be chosen by the rounding of their variances, which are 1."""
    values = np.random.default_rng(4).standard_normal((30, 24)) * np.geomspace(4, 0.2, 30)[:, None] + 5
    values[1, 3] = np.nan
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, values.astype(np.float32))
        writer.finish({"seed": 5}, {})
    asked = {"method": "variance", "n_genes": 8, "census": False, "scaling": scaling}
    with caplog.at_level(logging.WARNING):
        table, _ = select(place, asked)
    order = np.argsort(-np.nanvar(values, axis=1))[:8]
    assert table.sort_values("rank")["id"].tolist() == [GENES[i] for i in order]
    assert table["coefficient"].max() == pytest.approx(np.nanvar(values, axis=1).max(), rel=0.2)
    assert "z-scores" not in caplog.text


def test_z_scores_have_no_largest_variance_and_that_is_said(place: Path, caplog: pytest.LogCaptureFixture):
    values = np.random.default_rng(4).standard_normal((30, 24)).astype(np.float32)
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, values)
        writer.finish({"seed": 6}, {})
    with caplog.at_level(logging.WARNING):
        select(place, {"method": "variance", "n_genes": 2, "census": False, "scaling": "train"})
    assert "of its genes look like z-scores" in caplog.text
    assert "method variance chooses by chance" in caplog.text


def test_missing_values_count_as_zero_unless_scaled(place: Path):
    values = np.ones((30, 24), dtype=np.float32)
    values[3, :12] = np.nan
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, values)
        writer.finish({"seed": 1}, {})
    variance = {"method": "variance", "n_genes": 1, "census": False}
    assert select(place, variance)[0]["coefficient"][0] == 0.25
    assert select(place, variance | {"scaling": "train"})[0]["coefficient"][0] == 0.0


def test_an_infinite_value_is_refused_by_name(place: Path):
    values = np.ones((30, 24), dtype=np.float32)
    values[3, 5] = np.inf
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, values)
        writer.finish({"seed": 2}, {})
    with pytest.raises(InputError, match="patient p05, gene t03"):
        select(place, {"method": "variance", "n_genes": 1})


def test_no_labels_at_all_points_to_variance(place: Path):
    with pytest.raises(InputError, match="method: variance"):
        select(place, RFE, labels={})


def test_a_class_of_one_is_named(place: Path):
    labels = dict.fromkeys(PATIENTS, "a") | {"p00": "rare"}
    with pytest.raises(InputError, match="'rare'"):
        select(place, RFE, labels=labels)


@pytest.mark.parametrize(
    "settings", [{"method": "lasso"}, {"method": "families"}, {"method": "variance"}, {"method": "rfe", "clip": -1}]
)
def test_settings_that_make_no_sense_are_refused(place: Path, settings: dict):
    with pytest.raises(ConfigError):
        select(place, settings)


def test_the_projects_own_drivers_are_a_clean_list():
    lines = (Path(__file__).parents[2] / "resources" / "drivers.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    assert lines[0] == "cohort\tgene"
    assert {cohort for cohort, _ in rows} == {"brca", "coadread", "nsclc", "rcc"}
    assert len({tuple(row) for row in rows}) == len(rows)


def test_counts_without_a_logarithm_are_named_with_the_fix(place: Path):
    counts = (np.random.default_rng(0).lognormal(0, 1.5, (30, 24)) * 1e7).round().astype(np.float32)
    with ExpressionWriter(place / "expression/rna/demo.parquet", PATIENTS) as writer:
        writer.add(GENES, SYMBOLS, counts)
        writer.finish({"seed": 0}, {})
    with pytest.raises(InputError, match=r"demo\.parquet: .* values up to .*transform: log2_cpm"):
        select(place, RFE)
    assert len(select(place, RFE | {"scaling": "train"})[0])
