import gzip
from pathlib import Path

import numpy as np
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.gene_sets import genes_of_sets, parse_gene_sets
from mirrorflow.expression.selection import (
    Choice,
    by_elimination,
    by_gene_sets,
    by_univariate_f,
    by_variance,
    everything,
    gene_table,
)

IDS = ["t4", "t3", "t2", "t1"]


def test_variance_takes_the_most_variable_and_breaks_ties_by_id():
    values = np.array([[0, 1, 0, 1], [0, -1, 0, -1], [9, 1, 0, 1]], dtype=np.float32)
    choice = by_variance(values, ids=IDS, n_genes=3)
    assert [IDS[row] for row in choice.positions] == ["t4", "t1", "t3"]
    assert choice.coefficients == pytest.approx([18.0, 8 / 9, 8 / 9])


def test_f_takes_what_separates_and_survives_constant_genes():
    values = np.array([[0, 5, 1, 2], [0, 5, 2, 1], [3, 5, 1, 2.5], [3.1, 5, 2, 1.5]], dtype=np.float32)
    choice = by_univariate_f(values, ["a", "a", "b", "b"], ids=IDS, n_genes=4)
    assert IDS[choice.positions[0]] == "t4"
    assert choice.coefficients[-1] == 0.0


def test_f_needs_two_classes():
    with pytest.raises(InputError, match="variance"):
        by_univariate_f(np.ones((3, 4)), ["a"] * 3, ids=IDS, n_genes=2)


def test_more_genes_than_there_are_gives_all():
    assert len(by_variance(np.eye(4), ids=IDS, n_genes=100).positions) == 4


def test_no_genes_is_refused():
    with pytest.raises(ConfigError, match="n_genes"):
        by_variance(np.eye(4), ids=IDS, n_genes=0)


def test_gene_sets_are_columns():
    sets = parse_gene_sets("Kinases,Cytokines\nAKT1,IL6\nALK,\n", where="sets.csv")
    assert sets == {"Kinases": ["AKT1", "ALK"], "Cytokines": ["IL6"]}
    assert genes_of_sets(sets, ["IL6", "TP53", "IL6", "ALK"]) == ([0, 2, 3], ["AKT1"])


@pytest.mark.parametrize(("text", "message"), [("", "no gene sets"), ("A\n", "no gene sets"), ("A,A\nx,y\n", "twice")])
def test_broken_gene_sets_are_refused(text: str, message: str):
    with pytest.raises(InputError, match=message):
        parse_gene_sets(text, where="sets.csv")


def test_gene_sets_without_a_gene_in_the_matrix_are_refused():
    with pytest.raises(InputError, match="symbols or ids"):
        by_gene_sets(["ENSG1"], {"K": ["AKT1"]}, reason="families")


def test_the_table_joins_curated_genes_and_says_why():
    choice = Choice("rfe", [2, 0], [-0.5, 0.1])
    table = gene_table(choice, ids=IDS, symbols=["A", "B", "C", "D"], curated=[0, 1, 3], curated_reason="census")
    assert table["id"].tolist() == ["t2", "t4", "t1", "t3"]
    assert table["gene"].tolist() == ["C", "A", "D", "B"]
    assert table["reason"].tolist() == ["rfe", "both", "census", "census"]
    assert table["rank"].isna().tolist() == [False, False, True, True]
    assert table["coefficient"].tolist()[:2] == [-0.5, 0.1]


def test_genes_without_a_strength_have_no_rank():
    table = gene_table(everything(4), ids=IDS, symbols=IDS, curated=[], curated_reason="")
    assert table["reason"].tolist() == ["all"] * 4
    assert table["rank"].isna().all()


@pytest.mark.parametrize("solver", ["sample_space", "sklearn"])
def test_elimination_ranks_by_weight_and_records_scores(solver: str):
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 15
    values = rng.standard_normal((30, 40)).astype(np.float32)
    values[1::2, :3] += 3
    ids = [f"g{number:02d}" for number in range(40)]
    patients = [f"p{number}" for number in range(30)]
    choice = by_elimination(
        values, labels, ids=ids, patients=patients, settings={"solver": solver, "cv": 3}, seed=0, threads=1
    )
    assert set(choice.positions) <= {0, 1, 2}
    strengths = np.abs(choice.coefficients)
    assert (np.diff(strengths) <= 0).all()
    assert choice.details["features_per_step"][0] == 40
    assert len(choice.details["scores_per_fold"]) == 3


@pytest.mark.parametrize("settings", [{"solver": "exact"}, {"solver": "sklearn", "step_of": "remaining"}])
def test_unknown_solvers_and_steps_are_refused(settings: dict):
    with pytest.raises(ConfigError, match="rfe"):
        by_elimination(
            np.eye(4, dtype=np.float32),
            ["a", "b"] * 2,
            ids=IDS,
            patients=IDS,
            settings=settings | {"cv": 2},
            seed=0,
            threads=1,
        )


def test_elimination_on_counts_ends_with_the_fix():
    """Values of 1e8 leave the sums of their squares no digits for the margin."""
    values = (np.random.default_rng(0).lognormal(0, 1.5, (24, 30)) * 1e6).round().astype(np.float32)
    labels = ["a", "b", "b"] * 8
    names = [f"x{number:02d}" for number in range(30)]
    how: dict = {"ids": names, "patients": names[:24], "settings": {"cv": 2}, "seed": 0, "threads": 1}
    with pytest.raises(InputError, match=r"values up to 9\.94e\+07.*transform: log2_cpm.*rna_scaling: train"):
        by_elimination(values, labels, **how)
    assert by_elimination(np.log2(values + 1), labels, **how).positions


SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.mark.parametrize(
    ("name", "sets", "reason"),
    [("porpoise_signatures", 6, "families"), ("combine", 331, "pathways"), ("hallmarks", 50, "pathways")],
)
def test_the_published_families_and_pathways_find_their_genes_in_a_real_matrix(name: str, sets: int, reason: str):
    path, matrix = SHARED / "gene_sets" / f"{name}.csv", SHARED / "tcga" / "nsclc" / "rna.tsv.gz"
    if not path.exists() or not matrix.exists():
        pytest.skip(f"{path} or {matrix} is absent")
    parsed = parse_gene_sets(path.read_text(), where=str(path))
    with gzip.open(matrix, "rt") as stream:
        symbols = [line.split("\t", 1)[0] for line in stream][1:]
    choice = by_gene_sets(symbols, parsed, reason=reason)
    assert (len(parsed), choice.reason) == (sets, reason)
    assert {symbols[at] for at in choice.positions} == set(symbols) & {g for genes in parsed.values() for g in genes}
    assert len(choice.positions) > 100
