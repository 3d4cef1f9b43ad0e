"""Figure of the selected genes: order of genes and patients, most variable genes, what is read from the run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.figures.gene_heatmap import arrange, draw_gene_heatmap, most_variable
from mirrorflow.figures.style import to_svg
from mirrorflow.steps.results.gene_figures import gene_tasks, steady_genes
from mirrorflow.store.expression import ExpressionWriter
from mirrorflow.store.genes import write_genes
from mirrorflow.store.tables import write_cohort

LABELS = ["b", "a", "b", "a"]
VALUES = np.array([[0.0, 9.0, 1.0], [5.0, 1.0, 1.0], [0.0, 8.0, 1.0], [6.0, 0.0, np.nan]])


def test_genes_stand_by_the_class_that_expresses_them_most_and_patients_by_class():
    heatmap = arrange(VALUES, ["up_in_a", "up_in_b", "constant"], LABELS, ["a", "b"])
    assert heatmap.genes == ["up_in_a", "constant", "up_in_b"]
    assert heatmap.classes == {"a": 2, "b": 2}
    first, constant, last = heatmap.values
    assert (first[:2] > 0).all()
    assert (last[2:] > 0).all()
    assert not constant.any()
    np.testing.assert_allclose(heatmap.values[[0, 2]].std(axis=1), 1, rtol=1e-6)


def test_a_class_without_patients_is_left_out():
    assert arrange(VALUES, ["x", "y", "z"], LABELS, ["a", "none", "b"]).classes == {"a": 2, "b": 2}


def test_of_several_transcripts_the_most_variable_one_speaks_for_the_gene():
    found = most_variable(VALUES, ["G1", "G1", "G2"], 5)
    assert list(found) == ["G1", "G2"]
    assert found["G1"] == pytest.approx(np.var(VALUES[:, 1]))
    assert found["G2"] == 0
    assert list(most_variable(VALUES, ["G2", "G1", "G3"], 1)) == ["G1"]


def test_the_figure_shows_classes_and_bars_and_equal_data_give_equal_files():
    heatmap = arrange(VALUES, ["x", "y", "z"], LABELS, ["a", "b"])
    figure = draw_gene_heatmap(heatmap, {"G$1": 2.0, "G2": 1.0}, "Genes")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["a (2)", "b (2)"]
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["G$1", "G2"]
    assert to_svg(figure) == to_svg(draw_gene_heatmap(heatmap, {"G$1": 2.0, "G2": 1.0}, "Genes"))
    assert len(draw_gene_heatmap(heatmap, {}, "Genes").axes) == 3  # classes, heatmap, colour bar


def manifest(rows: list[tuple[str, str, int | None]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["id", "reason", "rank"])
    return frame.assign(gene=frame["id"].str.upper(), coefficient=1.0, fold=0, labels_seen=3)


def test_genes_kept_by_most_folds_come_first_then_the_better_rank():
    folds = [
        manifest([("t1", "rfe", 2), ("t2", "both", 1), ("t4", "census", None)]),
        manifest([("t3", "rfe", 1), ("t1", "rfe", 2), ("t2", "rfe", 4), ("t4", "census", None)]),
    ]
    assert steady_genes(folds, 9) == ["t1", "t2", "t4", "t3"]
    assert steady_genes(folds, 1) == ["t1"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    patients = ["p1", "p2", "p3", "p4", "p5"]
    with ExpressionWriter(tmp_path / "rna.parquet", patients) as writer:
        values = np.vstack([VALUES, [[1e6, 1e6, 1e6]]]).T.astype(np.float32)
        writer.add(["t1", "t2", "t3"], ["T1", "T2", "T3"], values)
        writer.finish({}, {})
    frame = pd.DataFrame({"patient": patients, "label": [*LABELS, ""], "slide_ids": [[name] for name in patients]})
    write_cohort(tmp_path / "demo.parquet", frame, ["a", "b"])
    table = manifest([("t2", "rfe", 1), ("t1", "drivers", None)])
    write_genes(tmp_path / "results" / "scope" / "demo" / "genes" / "fold0.tsv", table, {}, {})
    return tmp_path


def drawn(run: Path, clip: float | None = None):
    paths = [run / "results" / "scope" / "demo" / "genes" / "fold0.tsv"]
    (task,) = gene_tasks("demo", run / "demo.parquet", run / "rna.parquet", paths, clip)
    assert (task.name, task.kind) == ("genes_scope", "genes")
    return task.draw()


def test_the_figure_of_a_run_says_who_is_shown(run: Path):
    spec = drawn(run)
    assert "2 of the 2 genes" in spec.caption
    assert "n = 4 labelled patients" in spec.caption
    assert "stands in for the census" in spec.caption
    assert "a: 2 patients, b: 2 patients" in spec.alt
    assert "T1 7.69" in spec.alt
    assert "T1 0.00" not in spec.alt
    assert "T1 0.25" in drawn(run, clip=1.0).alt


def test_a_cohort_without_labels_has_no_such_figure(run: Path):
    frame = pd.DataFrame({"patient": ["p1"], "label": [""], "slide_ids": [["p1"]]})
    write_cohort(run / "demo.parquet", frame, [])
    with pytest.raises(InputError, match="no two classes"):
        drawn(run)
