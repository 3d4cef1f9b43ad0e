"""Was alignment learned? Retrieval across modalities on units left out of pretraining, beside chance."""

import pandas as pd

from mirrorflow.report.blocks import Cell, Section, Table, Text, cells, plain

KS = (1, 5, 10)
WAYS = {"slide_to_rna": "slide -> RNA", "rna_to_slide": "RNA -> slide"}
GAPS = ("modality_gap", "modality_gap_unit")
KEY = ["cohort", "encoder", "method", "scope"]


def retrieval_section(checks: pd.DataFrame) -> Section:
    """One table. ``checks``: a row a model (cohort, encoder, method, scope and the values of its retrieval.json)."""
    if checks.empty:
        return Section("retrieval", "Was alignment learned?", [Text("No pretrained method aligned anything here.")])
    rows = []
    for key, group in checks.groupby(KEY, sort=False):
        mean = group.mean(numeric_only=True)
        where = dict(zip(KEY, map(str, key), strict=True))
        named = Cell(where["method"], below=where["encoder"])
        recalls = [_recall(mean, way, k) for way in WAYS for k in KS]
        # Models of an earlier version lack some values: their cells stay empty.
        gaps = [mean.get(name, float("nan")) for name in GAPS]
        rows.append(
            cells(where["cohort"], named, where["scope"], len(group), _sizes(group["gallery"]), *recalls, *gaps)
        )
    return Section("retrieval", "Was alignment learned?", [Table(_caption(len(checks)), _header(), rows, _numeric())])


def _recall(mean: pd.Series, way: str, k: int) -> Cell:
    chance = plain(float(f"{mean.get(f'chance_recall@{k}', float('nan')):.3g}"))
    return Cell(plain(float(f"{mean.get(f'{way}_recall@{k}', float('nan')):.3g}")), below=chance and f"chance {chance}")


def _sizes(gallery: pd.Series) -> str:
    low, high = int(gallery.min()), int(gallery.max())
    return str(low) if low == high else f"{low}-{high}"


def _caption(models: int) -> str:
    return (
        "Share of units left out of pretraining whose own patient is among the k nearest of the other modality, n = "
        f"{models} models (mean over folds and seeds; protocols of a model scope share them, nothing is chosen by it). "
        "Cosine of the aligned embeddings; the gallery is every unit left out of the fold, each slide of a patient "
        "counts as right, a tie counts as wrong. Chance, below: a gallery in random order. Gap: mean Euclidean "
        "distance of paired aligned embeddings, as they are and at length 1. Rule pretrain_mirror, file retrieval.json "
        "beside each model."
    )


def _header() -> tuple[str, ...]:
    recalls = [f"{text}\nrecall@{k}" for text in WAYS.values() for k in KS]
    return ("cohort", "method", "scope", "models", "gallery", *recalls, "gap", "gap,\nlength 1")


def _numeric() -> frozenset[int]:
    return frozenset(range(3, len(_header())))
