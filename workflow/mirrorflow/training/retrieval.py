"""Was alignment learned? Retrieval across modalities and the modality gap, on units not trained on."""

from collections.abc import Sequence

import numpy as np


def recall_at(
    queries: np.ndarray, gallery: np.ndarray, patients: Sequence[str], ks: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Share of queries [unit, width] with a unit of their own patient among the k nearest of ``gallery``.

    Both are L2-normalised and compared by cosine; all units of one patient count as positives; a tie goes
    against the query. The gallery is every unit given; chance for one positive is k / units.
    """
    similarity = _unit(queries) @ _unit(gallery).T
    own = np.asarray(patients)[:, None] == np.asarray(patients)[None, :]
    best = np.where(own, similarity, -np.inf).max(axis=1)
    ahead = ((similarity >= best[:, None]) & ~own).sum(axis=1)
    return {k: float((ahead < k).mean()) for k in ks}


def modality_gap(slide: np.ndarray, rna: np.ndarray) -> float:
    """Mean Euclidean distance between the paired embeddings [unit, width], as in MIRROR's Fig. 5."""
    return float(np.linalg.norm(slide - rna, axis=1).mean())


def retrieval_report(slide: np.ndarray, rna: np.ndarray, patients: Sequence[str]) -> dict[str, float]:
    """Recall@1, 5 and 10 in both directions, chance of recall@1, gallery size and modality gap."""
    report = {f"slide_to_rna_recall@{k}": value for k, value in recall_at(slide, rna, patients).items()}
    report |= {f"rna_to_slide_recall@{k}": value for k, value in recall_at(rna, slide, patients).items()}
    own = np.asarray(patients)[:, None] == np.asarray(patients)[None, :]
    return report | {
        "chance_recall@1": float(own.mean()),
        "gallery": float(len(slide)),
        "modality_gap": modality_gap(slide, rna),
    }


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
