"""MIRROR's tables by name; those beyond the main ones as far as a run has their rows, with what each shows.

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


@dataclass(frozen=True)
class FurtherTable:
    """One table: what it shows and which published table stands beside it."""

    name: str
    title: str
    published: tuple[str, ...] = ()
    """Numbers of MIRROR's tables that hold the published values."""
    variants: tuple[str, ...] = ()
    """Regular expressions of the variants' names (what follows ``--``)."""
    bases: tuple[str, ...] = ()
    """Methods shown beside their variants."""
    relabelled: Mapping[str, str] = field(default_factory=dict)
    """Published labels of the model scopes in this table, where they have others than elsewhere."""
    tasks: tuple[str, ...] = BOTH
    few_shot: bool = False
    adapted: bool = False


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
    return [name for name in methods if "--" in name and wanted.fullmatch(name.split("--", 1)[1])]


def methods_of(table: FurtherTable, methods: Sequence[str]) -> list[str]:
    """The methods a table shows, in their order: everything, or its variants and the methods they vary."""
    if table.few_shot or table.adapted:
        return list(methods)
    variants = variants_of(table, methods)
    bases = set(table.bases) or {name.split("--")[0] for name in variants}
    return [name for name in methods if name in variants or name in bases]
