"""What the name of a sheet's column says of its values, where that is not what the config says: units, censoring."""

import re
from collections.abc import Mapping

import pandas as pd

from mirrorflow.errors import InputError

UNIT_WORDS: Mapping[str, str] = {
    r"day|(?<![a-z])tagen?(?![a-z])|(?<![a-z])tag(?![a-z])": "days",
    r"month|monat|(?<![a-z])(mo|mos|mth|mths)(?![a-z])": "months",
    r"year|jahr|(?<![a-z])(yr|yrs)(?![a-z])": "years",
    r"week|woche|(?<![a-z])(wk|wks)(?![a-z])": "weeks",
}
"""Words of English and German, and abbreviations that stand alone, as in survival_mo."""
OPPOSITE = re.compile(
    r"censor|censu|(?<![a-z])cens(?![a-z])|zens|alive|living|lebend|lebt|am[\W_]*leben|survivor|survived"
)
"""Names of a column whose 1 or yes is no event, or may be none: R's data sets have ``cens`` both ways."""
NO_OPPOSITE = re.compile(r"(un|non|not)[\W_]*cens|(un|nicht)[\W_]*zens|nicht[\W_]*am[\W_]*leben")
PAIRS = (("1", "0"), ("yes", "no"), ("y", "n"), ("true", "false"))
BARE = re.compile(r"[01](\.0+)?|yes|no|y|n|true|false", re.IGNORECASE)
"""Answers that mean what the column's name asks; dead, alive or 0:LIVING say it themselves."""


def require_unit(column: str, unit: str, where: str) -> None:
    """Raise InputError where the name of the column of times says another unit than the config."""
    name = column.casefold()
    said = next((unit for words, unit in UNIT_WORDS.items() if re.search(words, name)), unit)
    if said == "weeks":
        message = f"{where}: time is the column {column}; give days, months or years, and name the column so"
        raise InputError(message)
    if said != unit:
        message = f"{where}: time is the column {column}, and time_unit is {unit}; set time_unit: {said}, or rename it"
        raise InputError(message)


def require_event(column: str, cells: pd.Series, words: Mapping[str, int], where: str) -> None:
    """Raise InputError where event is a column whose name says that 1 or yes is no event, as os_censorship does.

    cells: its values; words: the config's ``event_words``. What these declare, and words such as dead or censored, say
    by themselves what they mean.
    """
    name = column.casefold()
    if not OPPOSITE.search(name) or NO_OPPOSITE.search(name):
        return
    declared = {plain(word.strip()).casefold() for word in words}
    bare = [cell for cell in cells if BARE.fullmatch(cell) and plain(cell).casefold() not in declared]
    if bare:
        one, none = next(pair for pair in PAIRS if plain(bare[0]).casefold() in pair)
        message = (
            f"{where}: event is the column {column}, in which {bare[0]!r} may mean that no event came; say what it "
            f'means: event_words: {{"{one}": 0, "{none}": 1}} where {one} is no event, else {{"{one}": 1, "{none}": 0}}'
        )
        raise InputError(message)


def plain(cell: str) -> str:
    """A whole number without its zeros after the point, as pandas writes it: 2.0 is 2; any other cell as it is."""
    return cell.split(".")[0] if re.fullmatch(r"\d+\.0+", cell) else cell
