"""Sections of the config about what is made of pretrained encoders: embeddings, the linear head, adaptation, costs."""

from mirrorflow.config.fields import (
    NAME,
    Section,
    choice,
    count,
    count_or_none,
    fraction,
    many,
    newer,
    number,
    positive,
    stated,
    switch,
    whole,
)
from mirrorflow.config.training_settings import PRECISIONS, Precision


@stated
class Embed(Section):
    """Frozen embeddings for the probes."""

    draws: int = count("Bag draws averaged into one frozen embedding.", 1)
    precision: Precision = newer("Of the forward pass; as that of `pretrain`.", "float32", enum=PRECISIONS)


@stated
class Probe(Section):
    """The linear head on frozen embeddings (published settings by default)."""

    epochs: int = count("Epochs of the head.", 100)
    batch_size: int = count(
        "Units a step; with no more units than that, the power of two below (published - 12 units go in batches of 8).",
        16,
    )
    learning_rate: float = positive("Adam's learning rate for subtyping.", 0.002)
    survival_learning_rate: float = positive("Adam's learning rate for survival.", 0.003)
    label_smoothing: float = fraction("Of the cross-entropy, in training only.", 0.1)
    weight_decay: float = number("Adam's L2 penalty on the weights, not on the biases.", 0, minimum=0)
    standardize: bool = switch("Standardise embeddings on the training units first (published - false).", False)
    drop_last: bool = switch(
        "Leave the last incomplete batch of an epoch out of its training (published - true).", False
    )
    survival_bins: int = whole("Bins of the discrete hazards.", 4, minimum=2)


@stated
class Adaptation(Section):
    """One source cohort, whose pretrained encoders are taken."""

    targets: list[str] = many("Cohorts to adapt to.", NAME, required=True, minItems=1, uniqueItems=True)
    methods: list[str] = many(
        "Pretrained methods that are adapted; empty - all of the run.", NAME, [], uniqueItems=True
    )
    encoders: list[str] = many(
        "Encoders of the features; empty - all that the source and every target have.",
        NAME,
        [],
        uniqueItems=True,
    )
    protocols: list[str] = many(
        "Protocols; empty - all of the run. An epoch rule other than best_on_evaluation (nested) means the last epoch "
        "here, and the audit says so.",
        NAME,
        [],
        uniqueItems=True,
    )
    embedding_learning_rate: float = positive(
        "Adam's learning rate of the new RNA embedding (ours: the paper names none; compared on inner folds of "
        "training patients, see docs/adaptation.md).",
        0.0002,
    )
    embedding_weight_decay: float = number("Adam's L2 penalty on it.", 0, minimum=0)


@stated
class Complexity(Section):
    """Measuring what the networks cost, at the published dimensions (rule measure_complexity, on request)."""

    batch_size: int | None = count_or_none("Samples a step; null - 16 on a GPU (published), 2 on a CPU.", None)
    steps: int = count("Steps of which the fastest counts.", 3)
    precision: Precision = choice("As that of `pretrain`.", PRECISIONS, "auto")
