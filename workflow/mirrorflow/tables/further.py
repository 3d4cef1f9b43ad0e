"""The papers' tables by name; those beyond the main ones as far as a run has their rows, with what each shows.

A method's variant is named ``<method>--<variant>``, a cohort of adaptation ``<target>--from--<source>``
(DESIGN.md). Free of pandas: the workflow decides by this which tables to make.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mirrorflow.config.adaptation import is_adapted

BOTH = ("subtyping", "survival")
MAIN_TITLES = {"subtyping": "Subtyping (MIRROR, Table III)", "survival": "Survival (MIRROR, Table IV)"}
"""What the main tables are called."""
MAIN_TITLE_OF_DSS = "Survival (TTA, Tables 1 and 8, where it is disease-specific; MIRROR, Table IV, elsewhere)"
"""That of survival in a run with such a cohort."""


@dataclass(frozen=True)
class FurtherTable:
    """One table: what it shows and which published table stands beside it."""

    name: str
    title: str
    published: tuple[str, ...] = ()
    """Numbers of the paper's tables that hold the published values."""
    variants: tuple[str, ...] = ()
    """Regular expressions of the variants' names (what follows ``--``)."""
    bases: tuple[str, ...] = ()
    """Methods shown beside their variants."""
    relabelled: Mapping[str, str] = field(default_factory=dict)
    """Published labels of the model scopes in this table, where they have others than elsewhere."""
    tasks: tuple[str, ...] = BOTH
    few_shot: bool = False
    adapted: bool = False
    paper: str = "mirror"
    """Whose tables these are; those of ``tta`` show variants of the method ``tta``, and no other table does."""


RELEASED = "released-"
"""What the names of TTA's variants under the released code's settings begin with."""
TTA_BASES = ("tta", "tta--released")


def _of_tta(
    name: str,
    title: str,
    published: tuple[str, ...],
    variants: tuple[str, ...],
    relabelled: Mapping[str, str] | None = None,
) -> FurtherTable:
    """A table of TTA's: each variant under the default settings, and under the released code's."""
    both = tuple(f"({RELEASED})?{one}" for one in variants)
    return FurtherTable(name, title, published, both, TTA_BASES, relabelled or {}, tasks=("survival",), paper="tta")


FURTHER_TABLES = (
    FurtherTable("few_shot", "k-shot settings (MIRROR, Tables III and IV)", ("III", "IV"), few_shot=True),
    FurtherTable(
        "ablation_objectives",
        "Parts of the objective (MIRROR, Table V)",
        ("V",),
        ("alignment", "alignment-retention", "alignment-style-clustering"),
        ("mirror",),
    ),
    FurtherTable(
        "ablation_style",
        "The style clustering module (MIRROR, Table VI)",
        ("VI",),
        ("deterministic-style", "hard-clustering", "style", "clustering"),
        ("mirror",),
    ),
    FurtherTable(
        "gene_sets",
        "Which genes a method sees (MIRROR, Table VII)",
        ("VII",),
        ("genes-.+",),
        ("tangle", "mirror"),
        {"tangle": "tangle[genes=mirror]", "mirror": "mirror[genes=mirror]"},
    ),
    FurtherTable(
        "loss_weights",
        "Weights of the losses (MIRROR, Table VIII)",
        ("VIII",),
        ("weights-.+",),
        ("mirror",),
        {"mirror": "mirror[weights=0.5/0.3/0.2]"},
    ),
    FurtherTable(
        "adaptation_subtyping", "Adaptation, subtyping (MIRROR, Table IX)", ("IX",), tasks=("subtyping",), adapted=True
    ),
    FurtherTable(
        "adaptation_survival", "Adaptation, survival (MIRROR, Table X)", ("X",), tasks=("survival",), adapted=True
    ),
    FurtherTable(
        "tta_presets",
        "Text, released code and what is sensible (TTA, Table 1)",
        ("1",),
        variants=("equations", "released", "released-masked"),
        bases=("tta",),
        tasks=("survival",),
        paper="tta",
    ),
    _of_tta("tta_stages", "The two stages (TTA, Table 2)", ("2",), ("no-stages", "together", "apart")),
    _of_tta(
        "tta_prototypes",
        "Shared or respective prototypes and transport (TTA, Table 3)",
        ("3",),
        ("respective", "respective-transport"),
    ),
    _of_tta(
        "tta_anchors",
        "Anchors and contrast (TTA, Table 4)",
        ("4",),
        ("together", "anchors", "contrast"),
        dict.fromkeys(("tta--together", "tta--released-together"), "tta[-anchor-contrast]"),
    ),
    _of_tta(
        "tta_transport",
        "The first stage (TTA, Table 6): TTA alone is 5 heads, unbalanced transport with curriculum mass, 32 "
        "prototypes, gamma 0.1, label weight 0.5",
        ("6",),
        ("heads-.+", "kmeans", "balanced", "fixed", "prototypes-.+", "gamma-.+", "semantic-.+", "label-weight-.+"),
        dict.fromkeys(TTA_BASES, "tta[multi-head: H=5]"),
    ),
    _of_tta(
        "tta_contrast",
        "The contrast (TTA, Table 7): TTA alone is temperature 0.1, weight 0.5",
        ("7",),
        ("contrast-temperature-.+", "contrast-weight-.+"),
        dict.fromkeys(TTA_BASES, "tta[contrastive temperature: tau_r=0.1]"),
    ),
    _of_tta(
        "tta_training",
        "How it is trained (TTA, Table 9; the unchanged method: Table 1)",
        ("9", "1"),
        ("tokens-.+", "batch-.+", "learning-rate-.+", "nll", "epochs-.+"),
    ),
    FurtherTable("variants", "Further variants of methods (ours)"),
)


def further_table(name: str) -> FurtherTable:
    """The table of that name."""
    return next(table for table in FURTHER_TABLES if table.name == name)


def wanted_tables(
    methods: Sequence[str], cohorts: Sequence[str], shots: Sequence[int], tasks: Sequence[str]
) -> list[str]:
    """Names of the tables that a run with these methods, cohorts, shots and tasks has rows for."""
    return [
        table.name
        for table in FURTHER_TABLES
        if set(table.tasks) & set(tasks)
        and (
            (table.few_shot and len(shots) > 0)
            or (table.adapted and any(map(is_adapted, cohorts)))
            or bool(variants_of(table, methods))
        )
    ]


def variants_of(table: FurtherTable, methods: Sequence[str]) -> list[str]:
    """The variants among ``methods`` that a table shows; ``variants`` shows those of no other table."""
    if table.few_shot or table.adapted:
        return []
    if table.name == "variants":
        others = {name for one in FURTHER_TABLES if one.variants for name in variants_of(one, methods)}
        return [name for name in methods if "--" in name and name not in others]
    wanted = re.compile("|".join(table.variants))
    named = [name.split("--", 1) for name in methods if "--" in name]
    return [
        f"{base}--{variant}"
        for base, variant in named
        if wanted.fullmatch(variant) and (base == "tta") == (table.paper == "tta")
    ]


def methods_of(table: FurtherTable, methods: Sequence[str]) -> list[str]:
    """The methods a table shows, in their order: everything, or its variants and the methods they vary."""
    if table.few_shot or table.adapted:
        return list(methods)
    variants = variants_of(table, methods)
    bases = set(table.bases) or {name.split("--")[0] for name in variants}
    return [name for name in methods if name in variants or name in bases]
