"""Single columns and genes that tell, without any model, what is to be predicted: a copy of it, more often than not.

Only what orders everyone without error counts, and only with enough patients on both sides, so that chance and
ordinary biology stay silent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.audit.findings import WARNING, Finding
from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.config.unknown import is_unknown

LEAST = 20
"""Patients of both classes, or events, below which nothing is said."""

PATIENTS_A_VALUE = 5
"""Patients a value in the mean from which on a column counts as one of categories (a name is no category)."""


@dataclass(frozen=True)
class Targets:
    """What is predicted of a cohort's patients [patient], in one order.

    groups: name of a class, or ``event`` -> who is in it; known: the same name -> of whom that is known.
    """

    groups: dict[str, NDArray[np.bool_]]
    known: dict[str, NDArray[np.bool_]]
    times: NDArray[np.float64]
    events: NDArray[np.bool_]
    """False where the outcome is unknown."""
    followed: NDArray[np.bool_]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Targets":
        """Classes and outcomes of a cohort's frame."""
        labelled, followed = has_label(frame).to_numpy(), has_outcome(frame).to_numpy()
        label = frame["label"].fillna("").to_numpy()
        groups = {f"class {name}": label == name for name in sorted(set(label) - {""})}
        events = followed & (frame["event"] == 1).to_numpy()
        known = dict.fromkeys(groups, labelled) | {"event": followed}
        return cls(groups | {"event": events}, known, frame["time_days"].to_numpy(float), events, followed)


def separating(values: NDArray[np.floating], inside: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows of ``values`` [row, patient] by which all patients ``inside`` stand above, or below, all other known ones.

    NaN is a patient of whom the row says nothing; both sides need :data:`LEAST` others.
    """
    there = ~np.isnan(values)
    sides = [there & (known & inside)[None], there & (known & ~inside)[None]]
    low = [np.where(side, values, np.inf).min(1) for side in sides]
    high = [np.where(side, values, -np.inf).max(1) for side in sides]
    enough = np.all([side.sum(1) >= LEAST for side in sides], axis=0)
    return enough & ((low[0] > high[1]) | (high[0] < low[1]))


def ordering(values: NDArray[np.floating], targets: Targets) -> NDArray[np.bool_]:
    """Rows of ``values`` [row, patient] that put everyone in the order of the outcomes: a concordance of 0 or 1.

    A pair counts where the earlier of two times is an event. :data:`LEAST` events are needed; rows with NaN among the
    followed patients are judged by the others.
    """
    found = np.zeros(len(values), bool)
    firsts = _an_event_a_time(targets)
    if len(firsts) < LEAST:
        return found
    steps = np.diff(values[:, firsts], axis=1)
    likely = ~((steps <= 0).any(1) & (steps >= 0).any(1))
    for row in np.flatnonzero(likely):
        known = targets.followed & ~np.isnan(values[row])
        found[row] = _in_order(values[row, known], targets.times[known], targets.events[known])
    return found


def _an_event_a_time(targets: Targets) -> NDArray[np.int64]:
    """Patients with an event, one of each time, in the order of the times."""
    rows = np.flatnonzero(targets.events)
    _, first = np.unique(targets.times[rows], return_index=True)
    return rows[first]


def _in_order(values: NDArray[np.floating], times: NDArray[np.float64], events: NDArray[np.bool_]) -> bool:
    order = np.argsort(times, kind="stable")
    values, times, events = values[order], times[order], events[order]
    after = np.searchsorted(times, times, side="right")  # first patient who is followed longer
    compared = events & (after < len(times))
    if events.sum() < LEAST or not compared.any():
        return False
    least = np.minimum.accumulate(values[::-1])[::-1]
    most = np.maximum.accumulate(values[::-1])[::-1]
    ours, later = values[compared], after[compared]
    return bool((ours < least[later]).all() or (ours > most[later]).all())


@dataclass
class Tells:
    """Names of columns or genes, by what they tell (``class a``, ``event``, ``time``)."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def read(self, names: Sequence[str], values: NDArray[np.floating], targets: Targets) -> None:
        """Look at ``values`` [name, patient]."""
        for what, inside in targets.groups.items():
            self.add(what, _where(names, separating(values, inside, targets.known[what])))
        self.add("time", _where(names, ordering(values, targets)))

    def add(self, what: str, names: Sequence[str]) -> None:
        """Take note of names that tell ``what``."""
        if new := [name for name in names if name not in self.found.get(what, ())]:
            self.found.setdefault(what, []).extend(new)

    def findings(self, noun: str, kind: str, fix: str) -> Iterator[Finding]:
        """One warning for each thing that is told. noun: ``genes``; kind: begins the kinds, ``gene_tells_label``."""
        said_of: list[list[str]] = []
        for what, names in self.found.items():
            if names in said_of and what.startswith("class "):
                continue  # the other one of two classes
            said_of.append(names)
            target = what if what in ("event", "time") else "label"
            said = "puts all patients in the order of their outcomes" if what == "time" else f"tells {what}"
            subject = f"each of {len(names)} {noun}" if len(names) > 1 else f"one of the {noun}"
            text = f"{subject} {said} without error, as a copy would; {fix}"
            yield Finding(WARNING, f"{kind}_tells_{target}", text, None, len(names), tuple(names[:5]))


def _where(names: Sequence[str], rows: NDArray[np.bool_]) -> list[str]:
    return [name for name, told in zip(names, rows, strict=True) if told]


CLINICAL = ("columns of the patients' sheet", "column")
CLINICAL_FIX = "check where they come from, or leave them out of `columns`"


def audit_columns(
    frame: pd.DataFrame, columns: Sequence[str], named: tuple[str, str] = CLINICAL, fix: str = CLINICAL_FIX
) -> Iterator[Finding]:
    """Clinical columns of methods that copy label, event or time: as numbers or categories, or by being known.

    frame: the cohort's; columns: those that a method uses; what the frame lacks is passed over. named: what they are
    called, and how the kinds of findings begin.
    """
    targets, tells = Targets.of(frame), Tells()
    for name in [name for name in columns if name in frame]:
        written = frame[name].astype("object").where(frame[name].notna(), "").astype(str).str.strip()
        known = ~written.map(is_unknown).to_numpy(bool)
        numbers = pd.to_numeric(written.where(known), errors="coerce").to_numpy(float)
        tells.read([name], numbers[None], targets)
        tells.read([f"{name} (whether it is known)"], known.astype(float)[None], targets)
        for what, inside in targets.groups.items():
            if _parted(written.to_numpy(), known & targets.known[what], inside):
                tells.add(what, [name])
    yield from tells.findings(*named, fix)


def _parted(values: NDArray, known: NDArray[np.bool_], inside: NDArray[np.bool_]) -> bool:
    """Whether no value of a column of categories stands on both sides."""
    sides = [set(values[known & inside]), set(values[known & ~inside])]
    counts = [(known & inside).sum(), (known & ~inside).sum()]
    category = len(sides[0] | sides[1]) * PATIENTS_A_VALUE <= known.sum()
    return bool(min(counts) >= LEAST and category and not sides[0] & sides[1])
