"""What an adapted cohort's encoders have seen: the source's models and genes, held against the target's folds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mirrorflow.audit import evidence
from mirrorflow.audit.places import audit_place
from mirrorflow.audit.records import Evidence, Folds, read_model
from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.cohorts.splits import Fold
from mirrorflow.store.tables import read_cohort, read_fold


@dataclass(frozen=True)
class Source:
    """Paths of the cohort that encoders were pretrained on, of the model scope: folds, genes, models by fold."""

    name: str
    cohort: str
    splits: Sequence[str]
    genes: Sequence[str]
    models: Sequence[str]
    """done.json of the pretrained folds, each with a ``config.json`` beside it."""
    indexes: Mapping[str, str] = field(default_factory=dict)
    """Encoder -> index of its features."""


def gather_source(source: Source, folds: Sequence[Fold], unit: str) -> Evidence:
    """Who was in pretraining, and who of them is evaluated on the target's fold of the same number.

    The target's fold k uses the source's models of fold k. Patients are the same where their names are.
    """
    frame, _ = read_cohort(source.cohort)
    units = to_units(who_has(frame, PAIRED), unit)
    theirs = [read_fold(path) for path in source.splits]
    found = Evidence()
    for path in map(Path, source.models):
        read_model(path, Folds(theirs, []), units, found, f" on {source.name}", evaluated_on=folds)
        found.findings += audit_place(path.parent)
    known = set(frame["patient"])
    for number, (fold, there, genes) in enumerate(zip(folds, theirs, source.genes, strict=True)):
        labels = json.loads(Path(genes).with_suffix(".json").read_text())["label_patients"]
        pretrained = known & set(there.train)
        found.findings += evidence.audit_source(source.name, number, fold, pretrained, labels)
    return found
