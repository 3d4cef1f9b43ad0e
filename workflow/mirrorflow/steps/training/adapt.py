"""Rule adapt: a source's frozen encoders on a target cohort, every task, fold and seed.

Fold k and seed of the target take the source's model of fold k and that seed, of the same scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mirrorflow.cohorts.patients import to_units
from mirrorflow.learners.adapted import AdaptedInputs
from mirrorflow.learners.inputs.vectors import Embedded, PooledInputs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.tasks import ModelPlace, Plan
from mirrorflow.store.tables import read_cohort


def adapted_protocol(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """``protocol`` as adaptation follows it: the epoch is the best on the evaluation fold, or the last."""
    epoch = "best_on_evaluation" if protocol["epoch"] == "best_on_evaluation" else "last"
    return {**protocol, "epoch": epoch}


@dataclass(frozen=True)
class Adaptation:
    """Files and settings of one pair, protocol, encoder and method; a path a fold where there are several."""

    cohort: str
    """The target's, as are splits, expression and genes."""
    splits: Sequence[str]
    expression: str
    genes: Sequence[str]
    embeddings: Sequence[str]
    """Records of rule embed_target, one a seed."""
    models: Sequence[str]
    """done.json of the source's models: every fold of the first seed, then of the next."""
    protocol: Mapping[str, Any]
    tasks: Sequence[str]
    seeds: Sequence[int]
    bins: int
    method: Mapping[str, Any]
    """``family``, ``probe`` (the head) and ``adapt`` (learning rate and weight decay of the embedding)."""
    clip: float | None
    saved: Mapping[str, Any] | None = None
    """Where the adapted models go, as fields of :class:`~mirrorflow.learners.tasks.ModelPlace`; None: nowhere."""


def adapt(files: Adaptation, manifest: str, label: str, *, threads: int) -> None:
    """Adapt and predict every task, fold and seed; write the predictions beside ``manifest`` and it.

    What is finished is known by its digest and kept. The setting is always that of all training data.
    """
    torch.set_num_threads(threads)
    protocol = adapted_protocol(files.protocol)
    resampled = protocol["probe_features"] == "resampled_dropout"
    slides = Embedded.of_records(dict(zip(files.seeds, files.embeddings, strict=True)), resampled=resampled)
    pairs = [(seed, fold) for seed in files.seeds for fold in range(len(files.splits))]
    models = {pair: Path(record).parent for pair, record in zip(pairs, files.models, strict=True)}
    rna = PooledInputs(
        units=to_units(read_cohort(files.cohort)[0], protocol["unit"]),
        inputs=["rna"],
        pooling="mean",
        index=None,
        expression=files.expression,
        genes=files.genes,
        rna_scaling=protocol["rna_scaling"],
        clip=files.clip,
    )
    plan = Plan(
        cohort=files.cohort,
        splits=files.splits,
        support="",
        protocol=protocol,
        tasks=files.tasks,
        shots=[],
        seeds=files.seeds,
        bins=files.bins,
        method={**files.method, "adapt": {**files.method["adapt"], "dropout": resampled}},
        genes=files.genes,
        saved=ModelPlace(**files.saved) if files.saved else None,
    )
    predict_method(plan, AdaptedInputs(slides, rna, models), str(Path(manifest).parent), manifest, label)
