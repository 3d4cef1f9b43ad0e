"""Folds before they are drawn: small classes, sites that are too few or unknown, sides with one class."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from mirrorflow.cohorts.folds import random_folds, scarce_classes, site_preserved_folds
from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import SITE_PRESERVED
from mirrorflow.errors import InputError

DRAWN = {"random": random_folds, SITE_PRESERVED: site_preserved_folds}


def class_lines(frame: pd.DataFrame, folds: int, shots: Sequence[int]) -> Iterator[str]:
    """Classes with fewer patients than folds, or than a k-shot setting asks for."""
    counts = frame.loc[has_label(frame), "label"].value_counts()
    if len(counts) == 1:
        yield f"WARNING: every label is {counts.index[0]!r}: subtyping needs two classes; check `label` and `classes:`"
    for what, least in (("folds", folds), *(("shots", shot) for shot in shots)):
        if few := [f"{name} ({count})" for name, count in counts.items() if count < least]:
            said = "some folds will lack it" if what == "folds" else "its sets hold as many as the smallest class has"
            yield (
                f"WARNING: fewer patients than {least} {what} in class {', '.join(few)}: {said}; join classes under "
                f"`classes:`, or set {'splits.folds' if what == 'folds' else 'evaluation.shots'} lower"
            )


def scarce_line(config: Mapping[str, Any], frame: pd.DataFrame) -> Iterator[str]:
    """Classes in fewer sites than the folds that are to keep sites apart."""
    if not any(one["splits"] == SITE_PRESERVED for one in config["protocols"].values()):
        return
    if scarce := scarce_classes(frame, config["splits"]["folds"]):
        yield f"splits {SITE_PRESERVED}: {scarce}"


def drawn_lines(config: Mapping[str, Any], frame: pd.DataFrame, where: str) -> Iterator[str]:
    """The folds that the protocols draw, as a run would: what stops it, and sides that lack a class or an event."""
    splits, kinds = config["splits"], {one["splits"] for one in config["protocols"].values()}
    for kind in sorted(kinds & set(DRAWN)):
        try:
            with _quiet():
                folds = DRAWN[kind](frame, splits["folds"], splits["seed"], where)
        except InputError as error:
            yield f"PROBLEM: splits {kind}: {error}"
            continue
        yield from one_sided(folds, frame, f"splits {kind}")


def one_sided(folds: Sequence[Fold], frame: pd.DataFrame, what: str) -> Iterator[str]:
    """Folds whose training patients have one class or no event, or whose evaluation patients have one class."""
    label = frame[has_label(frame)].set_index("patient")["label"]
    events = set(frame.loc[has_outcome(frame) & (frame["event"] == 1), "patient"])
    followed = bool(has_outcome(frame).any())
    for number, fold in enumerate(folds):
        for side, patients in (("trained on", fold.train), ("evaluated", fold.evaluated)):
            classes = set(label[label.index.isin(patients)])
            if len(set(label)) > 1 and len(classes) == 1:
                yield f"WARNING: {what}: only class {next(iter(classes))} is {side} in fold {number}"
            if len(set(label)) > 1 and not classes:
                yield f"WARNING: {what}: nobody with a label is {side} in fold {number}: subtyping is left out there"
        if followed and not events & set(fold.train):
            yield f"WARNING: {what}: no event is trained on in fold {number}: survival is left out there"


@contextmanager
def _quiet() -> Iterator[None]:
    """What drawing folds would log is said here in other words."""
    logger = logging.getLogger("mirrorflow.cohorts.folds")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
