"""Sections of the config about training networks: pretraining, training on labels, the machine's layout.

What shapes one family's network is stated in its own module (:mod:`mirrorflow.config.families`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mirrorflow.config.fields import (
    COUNT,
    NULL,
    POSITIVE,
    SEED,
    Section,
    Settings,
    choice,
    count,
    count_or_none,
    fraction,
    newer,
    number,
    of_data,
    of_run,
    positive,
    same,
    shared,
    stated,
    switch,
    whole,
)

Precision = Literal["float32", "tf32", "bfloat16", "float16", "auto"]
Form = Literal["public", "before-1.0"]
Schedule = Literal["constant", "cosine"]
ShortBags = Literal["resample", "mask"]

PRECISIONS, SCHEDULES = ["float32", "tf32", "bfloat16", "float16", "auto"], ["constant", "cosine"]
ARITHMETIC = (
    "float32: IEEE's; tf32: its products rounded to 10 bits on a GPU; bfloat16, float16: autocast (float16 with a "
    "scaled loss, as published); auto: bfloat16 where the device has it, else float32."
)
NOT_NEGATIVE: dict[str, Any] = {"type": "integer", "minimum": 0}


@dataclass(frozen=True)
class Layers(Settings):
    """Of a network that had other layers before version 1.0."""

    form: Form = choice(
        "layers as in the method's public code, or as here before version 1.0 (`preset: before-1.0` sets what goes "
        "with them).",
        ["public", "before-1.0"],
        "public",
        origin="published",
    )


@dataclass(frozen=True)
class Pathways(Settings):
    """The pathways. None: those of ``expression.selection``."""

    gene_sets: Any = shared(
        "gene_sets",
        "CSV of pathways, one column a set, or {download: <data set>}; by default expression.selection.gene_sets; "
        "`random` - random groups of the selected genes.",
        None,
        origin="ours",
    )


@dataclass(frozen=True)
class PairedShape(Settings):
    """What the networks that are pretrained on paired slides and RNA share."""

    patch_dim: int = of_data("Width of a patch's features.")
    gene_count: int = of_data("Genes of the expression.")
    width: int = count("Shared width D; MIRROR's heads divide it.", 768)
    dropout: float = number("Dropout after projections.", 0.1, minimum=0, exclusiveMaximum=1)
    tokens: int = count("Patches drawn from a bag at each step.", 2048)
    same_patient_negatives: Literal["keep", "drop"] = choice(
        "Whether slides of one patient are negatives of each other in InfoNCE (published - keep).",
        ["keep", "drop"],
        "keep",
    )


@dataclass(frozen=True)
class PretrainSettings(Settings):
    """How a network is pretrained. Published: the defaults, with ``precision`` half.

    ``tokens`` are drawn from each bag at each step (``short``: what happens to a smaller one).
    ``feature_scaling: train`` standardises patch features with the training patches' mean and sd
    (published: ``none``). A last incomplete batch is used unless ``drop_last``; a last batch of one unit,
    in which InfoNCE has no negative, is merged into the one before it.
    """

    short: ShortBags = choice(
        "Bags smaller than `tokens`: patches drawn with replacement (published), or padded and masked.",
        ["resample", "mask"],
        "resample",
    )
    tokens: int = same(PairedShape, "tokens")
    epochs: int = count("Epochs.", 100)
    batch_size: int = whole("Units a step.", 16, minimum=2)
    """InfoNCE needs two units at least."""
    learning_rate: float = positive("Adam's learning rate.", 2e-5)
    weight_decay: float = number("Adam's weight decay.", 0, minimum=0)
    schedule: Schedule = choice("Learning rate over the epochs.", SCHEDULES, "constant")
    warmup_epochs: int = whole("Epochs in which the learning rate rises to its value.", 0)
    drop_last: bool = switch(
        "Leave the last incomplete batch of an epoch out (published - false here, true in the probe).", False
    )
    precision: Precision = choice(ARITHMETIC, PRECISIONS, "float32")
    feature_scaling: Literal["none", "train"] = choice(
        "train: patch features standardised by the training patients' mean and deviation (published - none).",
        ["none", "train"],
        "none",
    )
    replacement: bool = switch(
        "Patches drawn with replacement, from bags that have enough, too (TANGLE's public code).", False
    )
    evaluation_draws: Literal["anew", "same"] = choice(
        "How units left out are drawn, where their loss chooses the epoch (a protocol's pretraining_epoch). anew - "
        "patches, masks and styles for each epoch (published); same - patches and masks once, styles at their mean.",
        ["anew", "same"],
        "anew",
    )
    kept_epoch: Literal["protocol", "smooth_rank"] = choice(
        "Which epoch's weights are kept. protocol - as its pretraining_epoch says; smooth_rank - the one whose "
        "training slides' embeddings have the highest smooth rank (TANGLE's public code), under every protocol.",
        ["protocol", "smooth_rank"],
        "protocol",
    )
    seed: int = of_run("Of every draw.", SEED, **NOT_NEGATIVE)


@stated
class Compute(Section):
    """How the work is put into jobs, and how pretraining uses the machine. No file depends on it, and a change trains
    nothing again (a job that it starts keeps the folds that are done); losses agree up to rounding and dropout's draws.
    A GPU whose memory is full goes on with half the units at a time, and the log says so.
    """

    jobs: Literal["auto", "few", "many"] = choice(
        "few: one job serves every fold, seed and setting of a step, and every method of its kind; many: a job each; "
        "auto: few for a run of one cohort on the processors of this machine, many where jobs go to a cluster, where "
        "there is a GPU, and with several cohorts. What is finished is kept either way.",
        ["auto", "few", "many"],
        "auto",
    )

    micro_batch: int | None = count_or_none(
        "Units that go through the network at a time, for a batch that does not fit the memory; InfoNCE still compares "
        "the whole batch. null - all.",
        None,
    )
    activation_checkpointing: bool = switch(
        "Compute attention blocks again in the backward pass instead of keeping their activations: same values, less "
        "memory, more time.",
        False,
    )
    compile: bool = switch(
        "torch.compile for the encoders (needs a C++ compiler; not together with micro_batch).", False
    )
    devices: int = count("Devices that one fold is spread over, by torchrun.", 1)
    deterministic: bool = switch(
        "Only kernels whose result follows from their input: on a GPU two runs, and a resumed one, are then equal to "
        "the digit, and slower. On a CPU they are anyway.",
        False,
    )
    gpu_share: int = count(
        "Folds that share one GPU. Above 1 a job serves all folds of a seed, so many of them at a time.", 1
    )
    cache_gb: float = number(
        "Memory (10^9 bytes) for bags whose files are compressed; all others are read through a memory map.",
        4,
        minimum=0,
    )


@dataclass(frozen=True)
class Train(Settings):
    """How a network is trained on labels."""

    PLACE: ClassVar[str] = "train."

    epochs: int = count("Epochs.", 20, origin="ours")
    batch_size: int = count("Units a step; bags are padded and masked.", 16, origin="MIRROR's")
    learning_rate: float = positive("Adam's learning rate.", 0.0002, origin="ours")
    weight_decay: float = number("Decoupled weight decay (AdamW).", 0.00001, minimum=0, origin="ours")
    tokens: int = count("Patches drawn from a larger bag at each step; evaluation sees all.", 2048, origin="MIRROR's")
    schedule: Schedule = choice("Learning rate over the epochs.", SCHEDULES, "cosine", origin="ours")
    warmup_epochs: int = whole("Epochs in which the learning rate rises to its value.", 1, origin="ours")
    min_steps: int = whole(
        "An epoch goes over few units several times, until all epochs together have as many steps. It counts for each "
        "setting by itself: 10-shot with two classes is 2 steps a pass at batches of 16, 40 in 20 epochs; 200 here "
        "makes every epoch there one of 5 passes, and leaves those of a fold of 200 patients (260 steps) at one. "
        "0: always one.",
        200,
        origin="ours: as many as the probe's 100 epochs over 10 patients each of two classes",
    )
    label_smoothing: float = fraction("Of the cross-entropy, in training only.", 0.0, origin="ours")
    alpha: float = fraction("Survival - censored patients weigh 1 - alpha in the likelihood.", 0.0, origin="MIRROR's")
    feature_scaling: Literal["none", "train"] = choice(
        "train: patch features standardised by the training patients' mean and deviation.",
        ["none", "train"],
        "train",
        origin="ours",
    )
    precision: Precision = choice("Of training; as that of `pretrain`.", PRECISIONS, "auto", origin="ours")
    cache_gb: float = number(
        "Bags kept in memory, in 10^9 bytes; the rest is read again in each epoch.", 4.0, minimum=0, origin="ours"
    )
    survival: Literal["hazards", "cox"] = newer(
        "What survival is trained on: discrete hazards (negative log-likelihood), or Cox's partial likelihood over "
        "each batch, which gets the cohort's share of events, at least one.",
        "hazards",
        enum=["hazards", "cox"],
        origin="MIRROR's",
    )
    ties: Literal["efron", "breslow", "order"] = newer(
        "Ties in Cox's partial likelihood; order: as they stand in the batch (TTA's released code).",
        "efron",
        enum=["efron", "breslow", "order"],
        origin="ours",
    )
    clip_norm: float | None = newer(
        "The gradient's norm is cut to it; null - not.", None, anyOf=[POSITIVE, NULL], origin="ours"
    )
    evaluation_tokens: int | None = newer(
        "Patches of a larger bag that prediction looks at, drawn once by the bag's size alone; null - all of them.",
        None,
        anyOf=[COUNT, NULL],
        origin="ours",
    )
    decay: Literal["all", "matrices"] = newer(
        "Weights that decay: all, or none of the biases and other vectors.",
        "all",
        enum=["all", "matrices"],
        origin="ours",
    )
    batches: Literal["by_event", "random"] = newer(
        "Batches of Cox's partial likelihood: each with the cohort's share of events, or drawn at random (one without "
        "an event teaches nothing of survival).",
        "by_event",
        enum=["by_event", "random"],
        origin="ours",
    )
    every_epoch: bool = newer(
        "Survival - risks of evaluation units after each epoch are written beside the model (epochs.parquet): what "
        "choosing the epoch on them would buy. They choose nothing.",
        default=False,
        type="boolean",
        origin="ours",
    )


@dataclass(frozen=True)
class FieldTrain(Train):
    """The training that methods of the field share (``common``): near MMP's comparison, with masked batches.

    Survival by hazards, censored patients at half weight.
    """

    learning_rate: float = same(Train, "learning_rate", unset=1e-4)
    tokens: int = same(Train, "tokens", unset=4096)
    alpha: float = same(Train, "alpha", unset=0.5)
    feature_scaling: Literal["none", "train"] = same(Train, "feature_scaling", unset="none")


@dataclass(frozen=True)
class FieldCoxTrain(Train):
    """As :class:`FieldTrain`, by Cox's partial likelihood: that of methods with prototypes."""

    learning_rate: float = same(Train, "learning_rate", unset=1e-4)
    tokens: int = same(Train, "tokens", unset=4096)
    feature_scaling: Literal["none", "train"] = same(Train, "feature_scaling", unset="none")
    survival: Literal["hazards", "cox"] = same(Train, "survival", unset="cox")
