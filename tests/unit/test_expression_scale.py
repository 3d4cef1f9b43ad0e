"""Whether new patients' expression is on training's scale: who is told apart, and who is not left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.reuse.scale import judged, scale_of

TCGA = Path(__file__).parents[3] / "shared" / "tcga"


def logarithms(patients: int = 40, genes: int = 300) -> np.ndarray:
    """log2(FPKM + 0.001) [patient, gene]: means from -9 to 8, some genes silent in most patients."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-9, 8, genes) + rng.normal(0, 1, (patients, genes)) * rng.uniform(0.5, 2, genes)
    silent = rng.random((patients, genes)) < np.where(rng.random(genes) < 0.2, 0.8, 0.02)
    return np.where(silent, np.log2(0.001), values).astype(np.float32)


VALUES = logarithms()
SCALER = RnaScaler.fit(VALUES[:20], scaling="train").to_arrays()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: np.exp2(row), "genes"),
        (lambda row: np.log2(np.exp2(row) + 0.999), "genes rise by 0."),
        (lambda row: row * np.log10(2), "genes"),
        (lambda row: (row - row.mean()) / row.std(), "genes rise by 0."),
        (lambda row: (row - SCALER["mean"]) / SCALER["scale"], "genes"),
        (lambda row: row + 10, "training deviations"),
        (lambda row: np.exp2(row) * 500, "training deviations"),  # far enough to move the means of all
    ],
)
def test_one_patient_on_another_scale_is_told_among_others(change, said):
    new = VALUES[20:].copy()
    new[3] = change(new[3])
    found = judged(new, SCALER)
    assert found is not None
    assert list(found.faults()) == [3]
    assert found.faults()[3].startswith("genes")
    assert said in found.faults()[3]
    with pytest.raises(InputError, match="on another scale than the training matrix: genes"):
        judged(new[3:4], SCALER)


def test_a_sheet_whose_means_are_far_is_refused_where_no_patient_alone_shows_it():
    few = {"mean": np.zeros(3, np.float32), "scale": np.ones(3, np.float32)}
    assert not scale_of(np.full((6, 3), 5.0), few).faults()  # the median of three genes has long tails
    with pytest.raises(InputError, match=r"means of genes are 5\.0 training deviations"):
        judged(np.full((6, 3), 5.0), few)
    assert judged(np.full((4, 3), 5.0), few) is not None


def test_a_gene_that_no_training_patient_has_says_nothing_of_the_scale():
    train, new = VALUES[:20].copy(), VALUES[20:].copy()
    train[:, :200] = np.nan
    new[:, :200] = 12
    scaler = RnaScaler.fit(train, scaling="train").to_arrays()
    alone = {name: array[200:] if len(array) > 1 else array for name, array in scaler.items()}
    found, expected = scale_of(new, scaler), scale_of(new[:, 200:], alone)
    np.testing.assert_allclose(found.distance, expected.distance)
    np.testing.assert_allclose(found.slope, expected.slope)
    assert judged(new, scaler) is not None


def test_agreement_is_judged_only_where_it_can_be():
    few = scale_of(VALUES[20:, :50], {key: SCALER[key][:50] for key in ("mean", "scale")})
    assert np.isnan(few.slope).all()
    of_z = {"mean": np.zeros(300, np.float32), "scale": np.ones(300, np.float32)}
    z = np.random.default_rng(0).normal(size=(3, 300))
    assert np.isnan(scale_of(z, of_z).slope).all()
    counts = np.exp2(VALUES) * 50  # libraries of other sizes are no other scale
    fitted = RnaScaler.fit(counts[:20], scaling="train").to_arrays()
    assert not scale_of(counts[20:] * np.linspace(0.3, 3, 20)[:, None], fitted).faults()


def test_unknown_values_do_not_count():
    new = VALUES[20:].copy()
    new[:, ::3] = np.nan
    assert not scale_of(new, SCALER).faults()
    assert scale_of(np.full((1, 300), np.nan), SCALER).distance.tolist() == [0.0]


def test_no_real_patient_is_left_out():
    path = TCGA / "coadread/rna.tsv.gz"
    if not path.exists():
        pytest.skip(f"no {path}")
    values = pd.read_csv(path, sep="\t", index_col=0).to_numpy(np.float32).T
    rng = np.random.default_rng(0)
    for fold in np.array_split(rng.permutation(len(values)), 3):
        train = np.setdiff1d(np.arange(len(values)), fold)
        for genes in (np.arange(values.shape[1]), rng.choice(values.shape[1], 200, replace=False)):
            scaler = RnaScaler.fit(values[np.ix_(train, genes)], scaling="train").to_arrays()
            assert not scale_of(values[np.ix_(fold, genes)], scaler).faults()
