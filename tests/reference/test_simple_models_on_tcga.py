"""The rows of shared/tcga/README.md (coadread, both inputs) from our cohort, folds, probes and metrics."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.metrics import c_index, subtyping_metrics
from mirrorflow.probes import cox, linear
from mirrorflow.probes.pooling import pool
from mirrorflow.probes.task import Asked, subtype_targets, survival_targets
from mirrorflow.store.tables import read_folds, read_text_sheet

FOLDER = Path(__file__).parents[2].parent / "shared" / "tcga" / "coadread"
COLUMNS = {"patient": "case_id", "label": "subtype", "time": "os_months", "event": "os_event"}
CLASSES = ["COAD", "READ"]


def load() -> tuple[pd.DataFrame, np.ndarray]:
    """Units (patients) and their vectors: mean and deviation over regions beside clipped expression."""
    sheet = cohorts.standard_sheet(read_text_sheet(FOLDER / "clinical.tsv"), COLUMNS, "clinical.tsv", "months")
    index = read_text_sheet(FOLDER / "slides.tsv").rename(columns={"case_id": "patient"})
    rna = pd.read_csv(FOLDER / "rna.tsv.gz", sep="\t", index_col=0).clip(-10, 10)
    rna.columns = rna.columns.str[:12]
    patients = cohorts.name_classes(sheet, {}, "column")
    frame, _ = assemble(patients, {"hipt": index.assign(status="ok", reason="")}, list(rna), "coadread")
    pooled = []
    for slides in frame["slide_ids"]:
        bags = []
        for slide in slides:
            with h5py.File(FOLDER / "features" / f"{slide}.h5") as file:
                bags.append(file["features"][:])
        pooled.append(pool(np.concatenate(bags), "mean_std"))
    return cohorts.to_units(frame, "patient"), np.hstack([np.stack(pooled), rna[frame["patient"]].to_numpy().T])


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")
def test_simple_models_reach_what_the_readme_says():
    units, vectors = load()
    assert len(units) == 316
    scores = []
    for fold in read_folds(FOLDER / "splits", 5):
        parts = [folding.training_units(units, fold, "subtyping"), folding.evaluation_units(units, fold, "subtyping")]
        train, held_out = (vectors[part.index] for part in parts)
        known, asked = (subtype_targets(part, CLASSES) for part in parts)
        probabilities = linear.fit_logistic(train, known, 0.01).predict(held_out, Asked(2)).probabilities
        ones = np.ones((1, len(asked)))
        row = subtyping_metrics(probabilities, asked.classes, ones)
        edges = folding.training_edges(units, fold, 4, "fold")
        parts = [folding.training_units(units, fold, "survival"), folding.evaluation_units(units, fold, "survival")]
        train, held_out = (vectors[part.index] for part in parts)
        known, asked = (survival_targets(part, edges) for part in parts)
        ends = folding.survival_bin_ends(edges, known.time_days)
        risk = cox.fit_cox(train, known, components=50, alpha=200.0).predict(held_out, Asked(2, ends)).risk
        concordance = c_index(risk, asked.time_days, asked.event, np.ones((1, len(asked))))
        scores.append([row["accuracy"][0], row["f1_macro"][0], concordance[0]])
    # Mean and deviation (ddof 0) over folds of accuracy, macro F1 and C-index.
    np.testing.assert_allclose(np.mean(scores, axis=0), [0.772, 0.603, 0.603], atol=6e-4)
    np.testing.assert_allclose(np.std(scores, axis=0), [0.027, 0.028, 0.041], atol=6e-4)
