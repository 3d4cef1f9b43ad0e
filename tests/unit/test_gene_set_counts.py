"""Pathways: how many of their genes a matrix has, what is left out, and what is said of it."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.expression.gene_sets import count_sets, parse_gene_sets
from mirrorflow.expression.selection import by_gene_sets
from mirrorflow.learners.inputs.bagged import match_sets
from mirrorflow.report.gene_sets import sets_sections

SETS = {"ONE": ["A", "B", "C"], "TWO": ["C", "D"], "NONE": ["X"], "ALSO": ["Y", "Z"]}
SHARED = Path(__file__).parents[3] / "shared"


def test_counts_by_hand() -> None:
    found = count_sets(SETS, ["A", "C", "C", "Q"])
    assert (found.genes, found.present) == (
        {"ONE": 3, "TWO": 2, "NONE": 1, "ALSO": 2},
        {"ONE": 2, "TWO": 1, "NONE": 0, "ALSO": 0},
    )
    assert (found.symbols, found.found, found.smallest) == (7, 2, "TWO")
    assert (found.kept, found.lost) == (["ONE", "TWO"], ["NONE", "ALSO"])
    assert found.said() == (
        "2 of 4 sets have genes in the matrix, 2 of 7 symbols; smallest set TWO with 1 of 2; left out without a gene: "
        "NONE, ALSO"
    )
    assert count_sets({"ONE": ["A"]}, ["A"]).said().endswith("smallest set ONE with 1 of 1; no set left out")


def test_a_set_without_a_gene_is_no_token_and_the_log_names_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ids, places = match_sets(SETS, ["t1", "t2", "t3"], ["C", "A", "C"], "sets.csv")
    assert (ids, places) == (["t1", "t2", "t3"], ((1, 0, 2), (0, 2)))
    assert "sets.csv: 2 of 4 sets" in caplog.text
    assert "left out without a gene: NONE, ALSO (3 rows)" in caplog.text


def test_a_selection_by_sets_records_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        chosen = by_gene_sets(["A", "C"], SETS, reason="pathways")
    assert chosen.details["sets_without_gene"] == ["NONE", "ALSO"]
    assert chosen.details["smallest_set"] == ["TWO", 1]
    assert "gene sets: 2 of 4 sets" in caplog.text


@pytest.mark.parametrize(
    "how", [lambda: match_sets(SETS, ["ENSG1"], ["ENSG1"], "s.csv"), lambda: by_gene_sets(["ENSG1"], SETS, reason="x")]
)
def test_sets_that_match_nothing_are_an_error_with_both_names_and_the_fix(how: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=r"4 sets has a gene.*name A, B, C, the matrix ENSG1; .*probemap\)"):
        how()


def test_the_report_has_a_row_a_file_and_cohort_and_every_set() -> None:
    assert sets_sections({}) == []
    (section,) = sets_sections({("sets.csv", "brca"): count_sets(SETS, ["A", "C"])})
    table, details = section.blocks
    (row,) = table.rows
    assert [cell.text for cell in row] == ["sets.csv", "brca", "2", "4", "2", "7", "TWO", "1", "2", "2: NONE, ALSO"]
    (every,) = details.blocks
    assert [[cell.text for cell in line] for line in every.rows] == [
        ["ONE", "2", "3"],
        ["TWO", "1", "2"],
        ["NONE", "0", "1"],
        ["ALSO", "0", "2"],
    ]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not there")
@pytest.mark.parametrize(
    ("cohort", "sets", "found", "kept"),
    [
        ("brca", "hallmarks", (4241, 689, 5), 50),
        ("coadread", "hallmarks", (4241, 687, 5), 50),
        ("brca", "combine", (4999, 769, 1), 182),
        ("coadread", "combine", (4999, 766, 1), 181),
    ],
)
def test_what_the_shared_matrices_hold(cohort: str, sets: str, found: tuple[int, int, int], kept: int) -> None:
    path = SHARED / "gene_sets" / f"{sets}.csv"
    symbols = pd.read_csv(SHARED / "tcga" / cohort / "rna.tsv.gz", sep="\t", usecols=[0]).iloc[:, 0].tolist()
    counts = count_sets(parse_gene_sets(path.read_text(), where=str(path)), symbols)
    assert (counts.symbols, counts.found, counts.present[counts.smallest]) == found
    assert len(counts.kept) == kept
