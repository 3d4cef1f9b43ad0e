"""The config as a whole: every section, its keys in the order of resolved configs, and the JSON schema that follows.

A section is a frozen dataclass whose docstring and fields say all there is to say of it (:mod:`.fields`); the modules
``*_settings`` hold those of one part of the chain. The order of the fields is that of the keys in a resolved config.
"""

from typing import Any

from mirrorflow.config.bounds import KINDS
from mirrorflow.config.cohort_settings import COHORTS, DOWNLOADS, SIMULATE, Download
from mirrorflow.config.evaluation_settings import TASKS, Evaluation
from mirrorflow.config.explain_settings import Explain
from mirrorflow.config.expression_settings import Expression, Selection
from mirrorflow.config.fields import (
    NAME,
    NULL,
    PATH,
    SEED,
    Section,
    choice,
    many,
    name,
    named,
    schema_of,
    section,
    setting,
    shared,
    stated,
    switch,
    whole,
)
from mirrorflow.config.new_patients import NewPatients
from mirrorflow.config.probe_settings import Adaptation, Complexity, Embed, Probe
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.slide_settings import Features, Slides
from mirrorflow.config.training_settings import Compute, Train

PARTIAL: dict[str, Any] = {"x-partial": True}
"""Keys that take the place of another section's: no defaults are filled in."""
INPUTS = ("slides", "rna", "clinical", "site")


@stated
class Splits(Section):
    """How folds are made (when a protocol does not read them from files)."""

    folds: int = whole("Number of folds.", 5, minimum=2)
    evaluate: str = choice(
        "Which column of split files is evaluated. auto: test where they have one, else val. Where test is, val is "
        "neither trained on nor evaluated: epoch: nested chooses on it (every inner fold is then train against val, so "
        "that inner_folds: 2 does). val: test patients take no part. Audit and tables say which.",
        ["auto", "test", "val"],
        "auto",
    )
    seed: int = whole("Seed of random, site-preserved and inner folds and of support sets.", SEED)
    inner_folds: int = whole(
        "Inner folds of each fold's training patients, for protocols with epoch: nested; by site where no fold has a "
        "site on both sides. Each costs the gene selection, pretraining and training of a protocol once more.",
        3,
        minimum=2,
    )


@stated
class Protocol(Section):
    """One protocol."""

    preset: str = choice("Where the keys not named here come from.", list(PROTOCOL_PRESETS))
    claims_honest: bool = switch("Whether a leak stops it (with strict); by default true for the honest presets.")
    unit: str = choice("One bag per patient (all slides) or per slide (published).", ["patient", "slide"])
    splits: str = name(
        "site_preserved, random, or a name in the cohort's `splits` (published). With -repaired behind the name "
        "(published-repaired) the same split files, repaired so that every patient is kept once: evaluated in at most "
        "one fold, trained on in the others. Folds without shared patients stay as they are."
    )
    gene_selection: str = choice(
        "Labels of the fold's training patients only, or a random 80% of all samples (published).", ["fold", "cohort"]
    )
    rna_scaling: str = choice(
        "Standardised on training patients, or values as they are with NaN as 0 (published).", ["train", "none"]
    )
    pretraining_epoch: str = choice(
        "Which epoch of a pretraining is kept. best_on_evaluation: the one with the least loss on the fold's "
        "evaluation patients, whose slides and RNA it then has seen; their labels take no part. Which one was "
        "published is not known: the public code saves both, and its tools read the last.",
        ["last", "best_on_evaluation"],
    )
    epoch: str = choice(
        "Which epoch of a probe or of a network trained on labels is reported. nested: the best one by the mean over "
        "inner folds of the training patients (splits.inner_folds), where genes, scalers, bins and pretraining are "
        "made anew on each inner training part; k-shot settings keep the last. "
        "best_on_evaluation: MIRROR's published choice. least_loss_on_evaluation: TTA's, from the 6th epoch on, by the "
        "loss of its released code, which takes the logarithm of log risks; hazards by their likelihood.",
        ["last", "nested", "best_on_evaluation", "least_loss_on_evaluation"],
    )
    survival_bins: str = choice(
        "Quartiles of uncensored times of training patients or of all patients.", ["fold", "cohort"]
    )
    few_shot_replacement: bool = switch("Support sets drawn with replacement (published).")
    few_shot_genes: str = choice(
        "Labels that choose the genes of the k-shot settings. none: n_genes of largest variance on the fold's training "
        "patients, and the census; pretrained methods are then pretrained once more a fold. all: the fold's genes, "
        "which saw every training label (published).",
        ["none", "all"],
    )
    probe_features: str = choice(
        "Embeddings computed once, or drawn anew in each epoch with dropout active (published).",
        ["frozen", "resampled_dropout"],
    )
    evaluate_all: bool = switch(
        "false replays the published loss of the last incomplete batch, in the order of `classes`: the last class "
        "loses samples; units without a label stand first."
    )


@stated
class Method(Section):
    """One method's settings."""

    inputs: list[str] = many(
        "What the method sees; the linear and Cox models take any of slides and rna, all others what they are listed "
        "with.",
        {"enum": list(INPUTS)},
        minItems=1,
        uniqueItems=True,
    )
    tasks: list[str] = many(
        "Tasks of the method, of those it can do.", {"enum": list(TASKS)}, minItems=1, uniqueItems=True
    )
    train: Any = shared("train", **PARTIAL)
    network: Any = shared("network", **PARTIAL)
    cohorts: list[str] = many("Cohorts the method is run on; by default all.", NAME, minItems=1, uniqueItems=True)
    encoders: list[str] = many(
        "Encoders a method that sees slides is run with; by default all of the cohort.",
        NAME,
        minItems=1,
        uniqueItems=True,
    )
    selection: Any = shared(
        "selection",
        "Any keys of expression.selection; they take the place of its values for this method, whose genes then lie "
        "apart (genes/<method>/).",
        **PARTIAL,
    )
    pretrain: Any = shared(
        "pretrain",
        "any keys of the section `pretrain`; they take the place of its values for this method.",
        **PARTIAL,
    )


DEFAULT_METHODS: dict[str, Any] = {
    "majority": {}, "linear": {}, "rna-linear": {}, "concat-linear": {}, "cox": {}, "mirror": {},
}  # fmt: skip


@stated
class Config(Section):
    """Every key of the config. A key that is not here is refused. `{store}` in a path stands for the value of
    `store`.
    """

    run: str = name("Name of this run; its results lie in results/<run>/.", required=True)
    store: str = setting(
        "Folder of what no protocol changes and what costs days (masks, patches, features, expression). May be a "
        "shared disk.",
        "store",
        **PATH,
    )
    seeds: list[int] = many(
        "Seeds of pretraining and probing; one result row a seed. Splits have a seed of their own.",
        {"type": "integer", "minimum": 0},
        [SEED],
        minItems=1,
        uniqueItems=True,
    )
    keep_models: str = choice(
        "Which models trained on labels leave their files - those of all training data, or those of the k-shot "
        "settings, too.",
        ["all-data", "all"],
        "all-data",
    )
    strict: bool = switch("Stop a protocol that claims to be honest when the audit finds a leak in it.", True)
    simulate: Any = SIMULATE
    downloads: Any = DOWNLOADS
    cohorts: Any = COHORTS
    slides: Slides = section(Slides)
    features: Features = section(Features)
    expression: Expression = section(Expression)
    splits: Splits = section(Splits)
    protocols: dict[str, Protocol | None] = named(
        Protocol,
        "Protocols by name; each starts from a preset (its own name, or `preset:`) and may set single keys.",
        {"honest": {}},
        minProperties=1,
        nullable=True,
    )
    pretrain: Any = shared("pretrain", default={})
    compute: Compute = section(Compute)
    embed: Embed = section(Embed)
    probe: Probe = section(Probe)
    adaptation: dict[str, Adaptation] = named(
        Adaptation,
        "Encoders pretrained on one cohort, frozen, and carried over to others (MIRROR, Tables IX and X). Of the "
        "target's training patients only a new RNA embedding (cohorts differ in their genes) and a linear head are "
        "trained, the head as the section `probe` says, all data only. Each pair is a cohort of its own, "
        "<target>--from--<source>.",
        {},
    )
    complexity: Complexity = section(Complexity)
    methods: dict[str, Method | None] = named(
        Method,
        "Methods by name; <method>--<variant> has settings of its own: it starts from the method's defaults, not from "
        "the run's entry of <method>; repeat what both should have (YAML anchors).",
        DEFAULT_METHODS,
        minProperties=1,
        nullable=True,
    )
    evaluation: Evaluation = section(Evaluation)
    explain: Explain | None = section(Explain, unset=True, type=["object", "null"])
    new_patients: dict[str, NewPatients] = named(
        NewPatients, "New patients by name, whom the models of the finished run are asked about.", {}
    )


def schema_of_sections() -> dict[str, Any]:
    """The JSON schema of a config, but for what the methods' families state themselves (:mod:`.method_schema`)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mirrorflow's config",
        **schema_of(Config),
        "$defs": {
            **{kind: dict(bounds) for kind, bounds in KINDS.items()},
            "gene_sets": {
                "anyOf": [{"$ref": "#/$defs/path"}, {"$ref": "#/$defs/download"}, NULL],
                "description": "CSV of gene sets, one column a set; or {download: <data set>}.",
            },
            "download": schema_of(Download),
            "selection": schema_of(Selection),
            "train": schema_of(Train),
        },
    }
