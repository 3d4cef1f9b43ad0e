"""Names that differ in case only: one file on many disks, and as a rule one thing that was typed twice."""

from collections.abc import Iterable, Iterator


def differ_in_case(names: Iterable[str], what: str) -> Iterator[str]:
    """One line for every two of ``names`` that are the same but for capital letters; ``what`` begins it."""
    spelled: dict[str, str] = {}
    for name in names:
        first = spelled.setdefault(name.casefold(), name)
        if first != name:
            yield f"{what} {first!r} and {name!r} differ in case only; write one name one way"
