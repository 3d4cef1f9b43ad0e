"""Names of two sheets that should meet: examples of those that do not, and what would make them meet."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

Step = Callable[[str], str]
SHOWN = 3
BARCODE = re.compile(r"([A-Za-z0-9]{4}-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})(?:-.*)?\Z")
SUFFIX = re.compile(r"(?<=.)([_.-][A-Za-z0-9]{1,10})\Z")


def _cut(name: str) -> str:
    found = BARCODE.match(name)
    return found[1] if found else name


def _without(ending: str, name: str) -> str:
    return name.removesuffix(ending)


STEPS: Mapping[str, Step] = {
    "dashes for dots": lambda name: name.replace(".", "-"),
    "dashes for underscores": lambda name: name.replace("_", "-"),
    "one case": str.casefold,
    "TCGA barcodes cut to the patient (12 characters)": _cut,
    "no spaces": lambda name: re.sub(r"\s+", "", name),
    "no leading zeros": lambda name: name.lstrip("0"),
}
"""What is tried, alone and then together; nothing of it is done to a name."""


def meeting(ours: Iterable[str], theirs: Iterable[str], sides: tuple[str, str]) -> str:
    """How many names are on both sides and, where some are not, examples of each and what would make them meet.

    sides: what the two are called. Empty where every name of the smaller side is on the other.
    """
    left, right = set(ours), set(theirs)
    both = left & right
    if len(both) == min(len(left), len(right)):
        return ""
    said = "; ".join(
        f"{len(alone)} of {name} alone, such as {', '.join(map(repr, sorted(alone)[:SHOWN]))}"
        for name, alone in zip(sides, (left - both, right - both), strict=True)
        if alone
    )
    best = _best(left - both, right - both)
    hint = f"; with {best[0]} {best[1]} more would meet: write them alike in one of the two" if best else ""
    return f"{len(both)} names are on both sides; {said}{hint}"


def _best(left: set[str], right: set[str]) -> tuple[str, int] | None:
    """The least that makes most names meet, in words, and how many do; None where nothing does."""
    tried: dict[str, tuple[Step, ...]] = {words: (step,) for words, step in STEPS.items()}
    for side, names in (("first", left), ("second", right)):
        if suffix := _common_suffix(names):
            tried[f"the ending {suffix!r} of the {side} cut"] = (partial(_without, suffix),)
    together = (STEPS["dashes for dots"], STEPS["dashes for underscores"], str.casefold, _cut)
    tried["dashes for dots and underscores, one case and TCGA barcodes cut"] = together
    counts = {words: _shared(left, right, steps) for words, steps in tried.items()}
    words = max(counts, key=lambda one: counts[one])
    return (words, counts[words]) if counts[words] else None


def _shared(left: set[str], right: set[str], steps: tuple[Step, ...]) -> int:
    sides = []
    for names in (left, right):
        changed = names
        for step in steps:
            changed = {step(name) for name in changed}
        sides.append(changed)
    return len(sides[0] & sides[1])


def _common_suffix(names: set[str]) -> str:
    """An ending such as ``_T`` that most of the names have; empty where there is none."""
    endings = Counter(found[1] for found in map(SUFFIX.search, names) if found)
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if count > len(names) / 2 else ""
