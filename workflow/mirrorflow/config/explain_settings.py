"""Section ``explain``: what models saw on slides, of which patients; where vectors lie; which genes count."""

from typing import Any

from mirrorflow.config.fields import (
    NAME,
    Section,
    count,
    count_or_none,
    many,
    positive,
    section,
    shared,
    stated,
    whole,
)


@stated
class ExplainGenes(Section):
    """Which genes count (rule explain_genes): integrated gradients of the class's log-odds and of the risk over the
    genes of networks that see RNA, on evaluation patients of each fold.
    """

    methods: list[str] = many(
        "Methods of the run; empty - all networks that see RNA, pretrained or trained on labels.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    patients: int | None = count_or_none(
        "Evaluation patients of a fold and task, spread evenly over their sorted names; null - all.", 20
    )
    patches: int | None = count_or_none(
        "Patches of a bag (a draw that follows from its size), for networks trained on labels; null - all that they "
        "look at.",
        256,
    )
    samples: int = count("Training patients that expected gradients take as baselines.", 4, origin="ours")
    bound: float = positive(
        "Error of a patient's attributions, relative to the change of the answer, above which the steps are raised "
        "(50, 200, 400) and the patient is then left out.",
        0.05,
        origin="ours",
    )
    top: int = count("Census genes that the figure shows (MIRROR's Figure 7: 10).", 10)
    compared: int = count("Genes at the top of each fold whose overlap is held against chance.", 50, origin="ours")
    nulls: int = whole(
        "Models of no meaning beside each fold's: as many with weights drawn anew and, for pretrained methods, as many "
        "heads trained again on permuted labels, which cost a head's training each; 0 - none.",
        2,
        origin="ours",
    )
    retrained: int = whole(
        "Networks trained on labels that are trained again on permuted labels, so many a fold and task beside `nulls`: "
        "each costs a whole training of the fold on processors.",
        0,
        origin="ours",
    )
    gene_sets: Any = shared(
        "gene_sets",
        "Gene sets that are tested among the model's own genes (CSV, one column a set; or {download: <data set>}); "
        "null - those of the gene selection or of the first method that has some.",
        None,
    )


@stated
class ExplainEmbeddings(Section):
    """Where slide and RNA vectors of pretrained methods lie (rule map_embeddings): a UMAP a fold, distances in a table
    (tables/modality_gap).
    """

    folds: int | None = count_or_none("The first so many folds are drawn; null - all. The table has all.", 1)
    neighbors: int = whole("UMAP's n_neighbors; with fewer points, all others.", 15, minimum=2)


@stated
class Explain(Section):
    """What models saw on slides of evaluation patients (rule explain_slides): weights of patches, and what is lost
    where patches are left out. With the key (it may be empty) every run makes these pictures; without it
    `snakemake explained` does, as the defaults say. null - the defaults.
    """

    methods: list[str] = many(
        "Methods of the run; empty - all networks over patches, pretrained or trained on labels.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    protocols: list[str] = many("Protocols of the run; empty - its first.", NAME, [], uniqueItems=True)
    patients: list[str] = many(
        "Patients by name; empty - by a fixed rule, of each task and from evaluation folds alone: the one nearest to "
        "the median of each class, or to the middle of each risk quartile; then the two worst errors.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    most: int | None = count_or_none("The first so many patients of a task; null - all that the rule names.", None)
    groups: int = count("Groups of neighbouring patches, which are left out one at a time.", 20, origin="ours")
    covers: int = count("How often draws cover all patches of a bag, for methods that draw (MIRROR).", 3, origin="ours")
    genes: ExplainGenes = section(ExplainGenes)
    embeddings: ExplainEmbeddings = section(ExplainEmbeddings)
