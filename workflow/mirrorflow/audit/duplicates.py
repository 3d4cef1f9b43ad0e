"""The same slides or the same expression under two patients' names, by digests and by outlines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirrorflow.audit.findings import LEAK, WARNING, Finding

NEARLY = 1e-3
"""Deviations (of the cohort) within which all numbers of two outlines agree where two inputs are nearly the same."""

LEAST_OUTLINES = 4
"""Numbers of an outline that must differ between patients for a nearness to mean anything."""

SHARED_SLIDES = 0.5
"""Share of slides with equal features from which on two encoders are said to have the same files."""


@dataclass(frozen=True)
class Input:
    """What one patient brings: a slide's features, or expression. ``name`` is the slide's, or the patient's."""

    name: str
    patient: str
    digest: str
    outline: tuple[float, ...] = ()


def audit_duplicates(kind: str, what: str, inputs: Sequence[Input], fix: str) -> Iterator[Finding]:
    """Inputs of several patients that are the same (a leak) or nearly the same (a warning).

    kind: ends the findings' kinds, ``same_<kind>`` and ``similar_<kind>``; what: names the inputs; inputs without a
    digest are passed over; fix: what to do.
    """
    known = [one for one in inputs if one.digest]
    same = [group for group in _by_digest(known).values() if len({one.patient for one in group}) > 1]
    if same:
        patients = {one.patient for group in same for one in group}
        text = f"{len(patients)} patients have {what} that are exactly those of another patient; {fix}"
        examples = tuple(sorted(_pair(*group[:2]) for group in (_of_patients(group) for group in same)))[:5]
        yield Finding(LEAK, f"same_{kind}", text, None, len(patients), examples)
    once = [group[0] for group in _by_digest(known).values()]
    if near := [(one, other) for one, other in _near(once) if one.patient != other.patient]:
        text = f"{len(near)} pairs of patients have {what} that are nearly the same (as if made twice); {fix}"
        yield Finding(WARNING, f"similar_{kind}", text, None, len(near), tuple(sorted(_pair(*two) for two in near))[:5])


def _by_digest(inputs: Sequence[Input]) -> dict[str, list[Input]]:
    groups: dict[str, list[Input]] = {}
    for one in inputs:
        groups.setdefault(one.digest, []).append(one)
    return groups


def _of_patients(group: Sequence[Input]) -> list[Input]:
    """One input of each patient."""
    return list({one.patient: one for one in group}.values())


def _pair(one: Input, other: Input) -> str:
    return " = ".join(sorted(_named(side) for side in (one, other)))


def _named(one: Input) -> str:
    return one.patient if one.name == one.patient else f"{one.name} ({one.patient})"


def _near(inputs: Sequence[Input]) -> Iterator[tuple[Input, Input]]:
    outlined = [one for one in inputs if one.outline]
    if len({len(one.outline) for one in outlined}) == 1:
        for i, j in near_pairs(np.array([one.outline for one in outlined])):
            yield outlined[i], outlined[j]


def near_pairs(outlines: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of rows of ``outlines`` [input, number] that agree in every number within :data:`NEARLY` deviations.

    Numbers that are the same for everyone do not count; with fewer than :data:`LEAST_OUTLINES` others there is no pair.
    """
    spread = outlines.std(0)
    telling = spread > 1e-9 * np.abs(outlines).max(0)
    if telling.sum() < LEAST_OUTLINES:
        return []
    scaled = outlines[:, telling] / spread[telling]
    order = np.argsort(scaled[:, 0], kind="stable")
    ranked, found = scaled[order], []
    for step in range(1, len(order)):  # rows that stand ``step`` places apart by their first number
        apart = np.abs(ranked[step:] - ranked[:-step])
        if not (apart[:, 0] <= NEARLY).any():
            break
        for place in np.flatnonzero((apart <= NEARLY).all(1)):
            found.append((int(order[place]), int(order[place + step])))
    return found


def audit_shared(theirs: Sequence[Input], ours: Sequence[Input], source: str, what: str) -> Iterator[Finding]:
    """Patients of a cohort who are in the encoders' ``source`` under another name: equal digests, a leak.

    theirs and ours: inputs of the source and of the cohort that is evaluated. Who has one name in both is found by it.
    """
    there = _by_digest([one for one in theirs if one.digest])
    pairs = [
        (other, one)
        for one in ours
        for other in _of_patients(there.get(one.digest, ()))
        if one.digest and other.patient != one.patient
    ]
    if pairs:
        patients = {one.patient for _, one in pairs}
        text = (
            f"{len(patients)} patients have {what} that are exactly those of a patient of {source} with another name, "
            "and the encoders may have been pretrained on those; leave them out of one of the two cohorts"
        )
        examples = tuple(sorted(_pair(*two) for two in pairs))[:5]
        yield Finding(LEAK, "same_features_in_source", text, None, len(patients), examples)


def audit_encoders(digests: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Encoders with the same features of the same slides: one folder under two names. digests: [encoder][slide]."""
    names = sorted(digests)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = [s for s, digest in digests[one].items() if digest and digests[other].get(s)]
            same = [slide for slide in both if digests[one][slide] == digests[other][slide]]
            if both and len(same) >= SHARED_SLIDES * len(both):
                text = (
                    f"{one} and {other} have the same features of {len(same)} of {len(both)} slides: one encoder under "
                    "two names; check the folders in `features`"
                )
                yield Finding(WARNING, "same_features_of_encoders", text, None, len(same), tuple(sorted(same)[:5]))
