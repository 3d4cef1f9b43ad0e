"""How sheets, clinical tables and matrices write that a value is not known: one vocabulary for all that is read."""

import re
from collections.abc import Iterable

WORDS = (
    "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nil", "missing", "no data", "unknown", "unk", "unspecified",
    "not known", "not reported", "not available", "not applicable", "not evaluated", "not specified", "not provided",
    "not recorded", "not collected", "not allowed to collect", "data not available", "pending",
)  # fmt: skip
"""Whole cells, in any case, bare or in brackets; pandas writes nan and None, R NA, the GDC '-- and Not Reported."""
IN_BRACKETS = ("discrepancy", "completed", "not done", "not performed", "undetermined", "pendingreview")
"""TCGA's codes that mean the same in brackets ([Discrepancy], [Completed]); bare they may be answers."""

_SIGNS = re.compile(r"(-+|–|—|\.|\?|\*)?")
_BRACKETED = re.compile(r"[\[<(](.*)[\])>]")
_WORDS, _CODES = frozenset(WORDS), frozenset(WORDS + IN_BRACKETS)


def is_unknown(value: object) -> bool:
    """Whether a cell says that nothing is known: empty, NaN, a sign alone ('--, ?), or a word of the vocabulary.

    Case, quotes and spaces around it do not count, nor whether a space is written as an underscore or a hyphen.
    """
    if value is None or value != value:  # NaN
        return True
    text = str(value).strip().strip("'\"").strip().casefold()
    if _SIGNS.fullmatch(text):
        return True
    if bracketed := _BRACKETED.fullmatch(text):
        return _spaced(bracketed[1]) in _CODES or _SIGNS.fullmatch(bracketed[1].strip()) is not None
    return _spaced(text) in _WORDS


def counted(values: Iterable[object]) -> str:
    """How often which word stands: ``'Not Reported' 12, '--' 3``, the most frequent first; empty cells last, as ''."""
    counts: dict[str, int] = {}
    for value in values:
        word = "" if value is None or value != value else str(value).strip()
        counts[word] = counts.get(word, 0) + 1
    order = sorted(counts, key=lambda word: (word == "", -counts[word], word))
    return ", ".join(f"{word!r} {counts[word]}" for word in order)


def _spaced(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip()
