"""Was alignment learned? Retrieval across modalities and the modality gap, on units not trained on."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np


def recall_at(
    queries: np.ndarray, gallery: np.ndarray, patients: Sequence[str], ks: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Share of queries [unit, width] with a unit of their own patient among the k nearest of ``gallery``.

    Both are L2-normalised and compared by cosine; all units of one patient count as positives; a tie goes
    against the query. The gallery is every unit given; for chance see :func:`chance_at`.
    """
    own = np.asarray(patients)[:, None] == np.asarray(patients)[None, :]
    ahead = ahead_of_own(of_length_one(queries), of_length_one(gallery), own)
    return {k: float((ahead < k).mean()) for k in ks}


def ahead_of_own(queries: np.ndarray, gallery: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many of others lie at least as near as the nearest of the query's own [query], vectors of length 1.

    own [query, unit]: which of the gallery are the query's own patient's.
    """
    similarity = queries @ gallery.T
    best = np.where(own, similarity, -np.inf).max(axis=1)
    return ((similarity >= best[:, None]) & ~own).sum(axis=1)


def chance_at(patients: Sequence[str], ks: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """What :func:`recall_at` is on average for a gallery in random order: 1 - C(n - m, k) / C(n, k), mean over queries.

    n units in the gallery, of which m are the query's own patient.
    """
    names = list(patients)
    count, own = len(names), Counter(names)
    return {
        k: float(
            np.mean(
                [1 - math.comb(count - own[name], k) / math.comb(count, k) if k <= count else 1.0 for name in names]
            )
        )
        for k in ks
    }


def modality_gap(slide: np.ndarray, rna: np.ndarray) -> float:
    """Mean Euclidean distance between the paired embeddings [unit, width], as in MIRROR's Fig. 5."""
    return float(np.linalg.norm(slide - rna, axis=1).mean())


def retrieval_report(slide: np.ndarray, rna: np.ndarray, patients: Sequence[str]) -> dict[str, float]:
    """Recall@1, 5 and 10 in both directions beside chance, gallery size and modality gap of aligned embeddings.

    ``modality_gap`` takes them as they are, ``modality_gap_unit`` scaled to length 1, so that networks compare.
    """
    report = {f"slide_to_rna_recall@{k}": value for k, value in recall_at(slide, rna, patients).items()}
    report |= {f"rna_to_slide_recall@{k}": value for k, value in recall_at(rna, slide, patients).items()}
    report |= {f"chance_recall@{k}": value for k, value in chance_at(patients).items()}
    return report | {
        "gallery": float(len(slide)),
        "modality_gap": modality_gap(slide, rna),
        "modality_gap_unit": modality_gap(of_length_one(slide), of_length_one(rna)),
    }


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Vectors [unit, width] scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
