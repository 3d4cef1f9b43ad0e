"""What people write in a sheet, made into numbers: decimal commas, words for an event, dates. Each is counted and said.

A way to read that is not the only one is refused, with the column, a value and the setting that decides.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from mirrorflow.cohorts.column_names import plain
from mirrorflow.config.unknown import counted, is_unknown
from mirrorflow.errors import InputError

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
GROUPS_OF_THREE = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
POINT_OF_THREE = re.compile(r"[1-9]\d?\.\d{3}")
LONGEST_DAYS = 40_000
"""No follow-up is longer: 243.500 are no 243,500 days, and an end of 9999-12-31 is an open one."""
WHOLE = re.compile(r"[+-]?\d+")
CODED = re.compile(r"([01])\s*:\s*(.*)")
"""cBioPortal's ``0:LIVING``, ``1:Recurred/Progressed``."""
EVENT_WORDS: Mapping[str, int] = {
    **dict.fromkeys(("no", "n", "false", "alive", "living", "censored"), 0),
    **dict.fromkeys(("yes", "y", "true", "dead", "deceased", "died"), 1),
}
"""Words that mean one thing in every sheet, in any case."""
MAYBE_NONE = frozenset({"none", "nil", "null", "-", "--", "–", "—"})
"""Words for unknown that may as well say that no event came."""
ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?")
NUMERIC = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
DAY_FIRST, MONTH_FIRST, BY_THEIR_VALUES = "day_first", "month_first", "by_their_values"
SHOWN = 3


@dataclass
class Said:
    """What was converted, in words, for the log, the check and the report."""

    where: str
    lines: list[str] = field(default_factory=list)

    def add(self, column: str, what: str, count: int) -> None:
        """One kind of conversion of a column."""
        if count:
            self.lines.append(f"{self.where}: {column}: {count} {what}")


def with_points(column: pd.Series, name: str, said: Said, *, needed: bool) -> pd.Series:
    """A column of numbers with decimal commas as numbers with points; any other column as it is.

    needed: whether the column is read as numbers; then one whose commas may group thousands is refused (InputError).
    """
    known = column[~column.map(is_unknown).astype(bool)]
    commas = known[known.map(lambda cell: DECIMAL_COMMA.fullmatch(cell) is not None).astype(bool)]
    others = known.drop(commas.index)
    if commas.empty or not others.map(lambda cell: WHOLE.fullmatch(cell) is not None).all():
        return column
    if commas.map(lambda cell: GROUPS_OF_THREE.fullmatch(cell) is not None).all():
        if needed:
            message = (
                f"{said.where}: {name}: {commas.iloc[0]!r} may be {commas.iloc[0].replace(',', '.')} or "
                f"{commas.iloc[0].replace(',', '')}: every comma stands before three digits; write points for decimals "
                "and nothing between thousands"
            )
            raise InputError(message)
        return column
    said.add(name, "decimal commas read as points", len(commas))
    return column.where(~column.index.isin(commas.index), column.str.replace(",", "."))


def require_no_thousands(days: pd.Series, said: Said) -> None:
    """Raise InputError where points in times of days may part thousands: 1.234 beside 987.

    That is where every point stands before exactly three digits, and all others are whole.
    """
    known = days[~days.map(is_unknown).astype(bool)]
    points = known[known.str.contains(".", regex=False)]
    others = known.drop(points.index)
    grouped = points.map(lambda cell: POINT_OF_THREE.fullmatch(cell) is not None and float(cell) * 1000 < LONGEST_DAYS)
    if points.empty or not grouped.all() or not others.map(lambda cell: WHOLE.fullmatch(cell) is not None).all():
        return
    first = points.iloc[0]
    message = (
        f"{said.where}: time: {first!r} may be {first} or {first.replace('.', '')} days: every point stands before "
        "three digits; write nothing between thousands, and other than three decimals"
    )
    raise InputError(message)


def as_events(column: pd.Series, words: Mapping[str, int], said: Said) -> pd.Series:
    """Words for an event as "1" and "0"; numbers and what no list has stay as they are.

    words: the sheet's own, beside :data:`EVENT_WORDS`; one that stands for unknown elsewhere means what it says here.
    Raises InputError for ``1:LIVING``, whose halves contradict.
    """
    declared = {plain(word.strip()).casefold(): value for word, value in words.items()}
    known = {**EVENT_WORDS, **declared}
    changed: Counter[str] = Counter()

    def read(cell: str) -> str:
        coded = CODED.fullmatch(cell)
        value: int | None = known.get(plain(cell).casefold())
        if coded and value is None:
            value = int(coded[1])
            meant = known.get(coded[2].casefold())
            if meant not in (None, value):
                message = f"{said.where}: event: {cell!r}: {coded[2]} is no {value}; correct it, or set `event_words`"
                raise InputError(message)
        if value is None or (is_unknown(cell) and cell.casefold() not in declared):
            return cell
        if cell != str(value):
            changed[f"{cell} as {value}"] += 1
        return str(value)

    found = column.map(read)
    told = ", ".join(f"{what} ({count})" for what, count in changed.most_common(8))
    said.add("event", f"words read: {told}", sum(changed.values()))
    left = found[found.map(lambda cell: cell.casefold() in MAYBE_NONE)]
    said.add("event", f"unknown: {counted(left)}; where that means no event: event_words", len(left))
    return found


def days_between(starts: pd.Series, ends: pd.Series, names: tuple[str, str], order: str, said: Said) -> pd.Series:
    """Days from start to end as text, "" where one of the two is unknown.

    order: how 01.02.2020 is meant: ``day_first``, ``month_first``, or ``by_their_values``: told from dates of both
    columns of which one number is above 12. Raises InputError where that tells nothing or two things, and for what is
    no date.
    """
    cells = [cell for column in (starts, ends) for cell in column if not is_unknown(cell)]
    order = order if order != BY_THEIR_VALUES else _order_of(cells, names, said.where)
    sides = [
        [None if is_unknown(cell) else _date(cell, order, name, said.where) for cell in column]
        for column, name in zip((starts, ends), names, strict=True)
    ]
    days = ["" if None in pair else str((pair[1] - pair[0]).days) for pair in zip(*sides, strict=True)]
    said.add(f"{names[0]} to {names[1]}", f"times as days between dates{_said_of(order)}", sum(map(bool, days)))
    return pd.Series(days, index=starts.index, dtype=object)


def _said_of(order: str) -> str:
    return {DAY_FIRST: ", days before months", MONTH_FIRST: ", months before days"}.get(order, "")


def _order_of(cells: Iterable[str], names: Sequence[str], where: str) -> str:
    """``day_first`` or ``month_first`` as the dates themselves tell; "" where all of them begin with the year."""
    found = [(cell, match) for cell in cells if (match := NUMERIC.fullmatch(cell))]
    if not found:
        return ""
    days = [cell for cell, match in found if int(match[1]) > 12]
    months = [cell for cell, match in found if int(match[2]) > 12]
    columns = " and ".join(names)
    if days and months:
        message = f"{where}: {columns}: {days[0]!r} has the day first and {months[0]!r} the month; write them one way"
        raise InputError(message)
    if not days and not months:
        first = found[0][0]
        message = (
            f"{where}: {columns}: {first!r} may have the day or the month first, and no date of these columns tells; "
            "set clinical.dates: day_first or month_first, or write 2020-02-01"
        )
        raise InputError(message)
    return DAY_FIRST if days else MONTH_FIRST


def _date(cell: str, order: str, name: str, where: str) -> date:
    iso, numeric = ISO.fullmatch(cell), NUMERIC.fullmatch(cell)
    try:
        if iso:
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if numeric:
            day, month = (1, 2) if order == DAY_FIRST else (2, 1)
            return date(int(numeric[3]), int(numeric[month]), int(numeric[day]))
    except ValueError as error:
        message = f"{where}: {name}: {cell!r} is no date ({error}); correct it, or leave it empty"
        raise InputError(message) from error
    message = f"{where}: {name}: {cell!r} is no date; write 2020-02-01 or 01.02.2020, or leave it empty"
    raise InputError(message)
