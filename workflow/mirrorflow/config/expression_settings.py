"""Sections of the config about expression: matrices, gene selection, scaling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mirrorflow.config.fields import (
    PATH,
    Section,
    Settings,
    choice,
    count,
    many,
    named,
    newer,
    path,
    positive,
    section,
    setting,
    shared,
    stated,
    switch,
    text,
    whole,
)


@stated
class Source(Section):
    """One matrix."""

    RULES: ClassVar[Mapping[str, Any]] = {"oneOf": [{"required": ["matrix"]}, {"required": ["download"]}]}

    download: str = text(
        "Instead of `matrix`: a data set by its name in resources/sources.tsv or `downloads`, such as "
        "tcga_RSEM_isoform_fpkm; its probe map comes along."
    )
    matrix: str = path("TSV, CSV (also .gz) or parquet of genes or transcripts by samples.")
    probemap: str | dict[str, str] = setting(
        "Xena's probe map (id, gene, ...): transcript or Ensembl id (its version is cut) -> symbol; a file, or "
        "{download: <data set>} such as gencode.v23.annotation.gene.probemap.",
        anyOf=[PATH, {"$ref": "#/$defs/download"}],
    )
    orientation: str = choice(
        "What the rows of the matrix are.", ["genes_by_samples", "samples_by_genes"], "genes_by_samples"
    )
    transform: str = newer(
        "What is done to the values, in each sample over all its genes; nothing is done that is not said here. "
        "log2_cpm: counts to log2(counts per million + 1). log2_plus_1: linear values (TPM, FPKM) to log2(x + 1).",
        "none",
        enum=["none", "log2_plus_1", "log2_cpm"],
        origin="ours",
    )
    scaled_upstream: bool = switch(
        "The matrix was scaled (z-scored) over a whole cohort before it came here: cannot be undone, and the audit "
        "says so.",
        False,
    )
    sample_ids: str = choice(
        "tcga: barcodes, primary tumours (-01) are kept; patient: column names are patients.",
        ["tcga", "patient"],
        "tcga",
    )


@dataclass(frozen=True)
class Rfe(Settings):
    """Recursive feature elimination with cross-validation."""

    PLACE: ClassVar[str] = "rfe."

    solver: str = choice(
        "sample_space: exact and fast; sklearn: scikit-learn's RFECV at its default tolerance.",
        ["sample_space", "sklearn"],
        "sample_space",
    )
    C: float = positive("Inverse regularisation of the linear SVM.", 1.0)
    step: float = positive("Features that leave at a time: a share (below 1) or a number.", 0.05)
    step_of: str = choice("What a share refers to.", ["original", "remaining"], "original")
    cv: int = whole("Folds of the inner cross-validation.", 5, minimum=2)
    cv_by: str = newer(
        "How the inner cross-validation parts patients: by label alone (as published: sites mix, also where the folds "
        "keep them apart), or by site, so that the number of genes is scored on sites that no fit has seen.",
        "label",
        enum=["label", "site"],
        origin="ours",
    )
    min_features: int = count("Fewest features that may be chosen.", 1)
    scoring: str = choice(
        "Score of the inner cross-validation.", ["accuracy", "balanced_accuracy", "f1_macro"], "accuracy"
    )


@stated
class Selection(Section):
    """Which genes a model sees."""

    PLACE: ClassVar[str] = "expression.selection."

    method: str = choice(
        "rfe: recursive feature elimination (MIRROR, Eq. 2, 3); none: all genes.",
        ["rfe", "variance", "univariate_f", "families", "pathways", "none"],
        "rfe",
    )
    n_genes: int = count(
        "Genes kept by variance and univariate_f, and for k-shot settings whose genes see no label.", 1000
    )
    census: bool = switch("Join the cancer gene census to what the method chose.", True)
    tiers: list[int] = many("Tiers of the census that count.", {"enum": [1, 2]}, [1, 2])
    gene_sets: Any = shared(
        "gene_sets", "CSV of gene sets, one column a set, for families and pathways; or {download: <data set>}.", None
    )
    rfe: Rfe = section(Rfe)


@stated
class Expression(Section):
    """Expression matrices, gene selection, scaling."""

    sources: dict[str, Source] = named(Source, "Expression matrices by name.", {})
    clip: float | None = setting(
        "Values are clipped to +-clip before scaling; null: not.", None, type=["number", "null"], exclusiveMinimum=0
    )
    selection: Selection = shared("selection", default={})
