"""What Snakemake hands a job, as the dataclasses that a step declares: paths as Path, missing inputs as None.

Snakemake knows strings, and lists of them, only. This is the one place where they become what a step's fields
are annotated with, and where a rule that does not fit its step is told so.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from mirrorflow.errors import MirrorflowError

Declared = TypeVar("Declared")
ReadText = Callable[[str], Any]


class RuleMismatchError(MirrorflowError):
    """A rule gives its step less than, or something else than, the step declares."""


def read_fields(declared: type[Declared], given: Any, where: str, *, wildcards: Any = None) -> Declared:
    """An instance of the dataclass ``declared`` from the names of ``given`` (a rule's input, output or params).

    A field that ``given`` lacks is the wildcard of that name, else its default. ``where`` is for messages: the rule
    and the kind of what is read.

    Raises RuleMismatchError, naming the field, where there is neither, or where a value is not of the field's type.
    """
    hints, values = get_type_hints(declared), {}
    for field in fields(declared):  # type: ignore[arg-type]
        place = f"{where} {field.name}"
        if _has(given, field.name):
            values[field.name] = convert(_get(given, field.name), hints[field.name], place)
        elif wildcards is not None and _has(wildcards, field.name):
            values[field.name] = _of_wildcard(_get(wildcards, field.name), hints[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            message = f"{place}: the step declares it, the rule does not give it"
            raise RuleMismatchError(message)
    return declared(**values)


def _has(given: Any, name: str) -> bool:
    return name in (given if isinstance(given, Mapping) else given.keys())


def _get(given: Any, name: str) -> Any:
    return given[name] if isinstance(given, Mapping) else getattr(given, name)


def _of_wildcard(value: str, wanted: Any, where: str) -> Any:
    """Wildcards are text; a field that is a number reads it."""
    if wanted is not int:
        return convert(value, wanted, where)
    if not value.isdigit():
        raise RuleMismatchError(_mismatch(where, value, "a number"))
    return int(value)


def convert(value: Any, wanted: Any, where: str) -> Any:
    """``value`` as the annotation ``wanted`` says: a path, a list, a mapping, a dataclass, None, or plain.

    No file (an empty list) is None where None is allowed; a single file is a list of one where a list is wanted.
    Raises RuleMismatchError, beginning with ``where``.
    """
    if wanted is Any:
        return value
    kind, parts = get_origin(wanted) or wanted, get_args(wanted)
    if kind in (Union, types.UnionType):
        return _optional(value, parts, where)
    if kind in (list, Sequence, tuple):
        return _several(value, list if kind is Sequence else kind, parts[0], where)
    if isinstance(kind, type) and is_dataclass(kind):
        return _nested(value, kind, where)
    if kind in (Mapping, dict):
        return _checked(value, Mapping, where)
    if kind is Path:
        return Path(_checked(value, str, where))
    if kind is float:
        return _number(value, (int, float), where)  # 3 stays 3: digests of settings tell it from 3.0
    return _number(value, int, where) if kind is int else _checked(value, kind, where)


def _optional(value: Any, parts: Sequence[Any], where: str) -> Any:
    """The one of a union's kinds that fits; nothing (None, no file) where None is one of them."""
    if type(None) in parts and (value is None or _is_no_file(value)):
        return None
    kinds = [part for part in parts if part is not type(None)]
    for kind in kinds:
        try:
            return convert(value, kind, where)
        except RuleMismatchError:
            continue
    raise RuleMismatchError(_mismatch(where, value, " or ".join(map(_name, kinds))))


def _is_no_file(value: Any) -> bool:
    return isinstance(value, list | tuple) and not value


def _several(value: Any, kind: type, item: Any, where: str) -> Any:
    if isinstance(value, str) and item in (Path, str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise RuleMismatchError(_mismatch(where, value, f"a list of {_name(item)}"))
    return kind(convert(one, item, f"{where}, item {number}") for number, one in enumerate(value))


def _nested(value: Any, kind: type, where: str) -> Any:
    """A dataclass of a mapping that has its fields and no other."""
    known = [field.name for field in fields(kind)]
    if unknown := sorted(set(_checked(value, Mapping, where)) - set(known)):
        message = f"{where}: unknown {', '.join(unknown)}; {kind.__name__} has {', '.join(known)}"
        raise RuleMismatchError(message)
    return read_fields(kind, value, f"{where}:")


def _number(value: Any, kind: Any, where: str) -> Any:
    if isinstance(value, bool):  # an int to Python, a slip here
        raise RuleMismatchError(_mismatch(where, value, "a number"))
    return _checked(value, kind, where)


def _checked(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise RuleMismatchError(_mismatch(where, value, _name(kind)))
    return value


def _mismatch(where: str, value: Any, wanted: str) -> str:
    return f"{where}: {str(value)[:200]!r} ({type(value).__name__}) instead of {wanted}"


def _name(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_name, kind))
    return getattr(kind, "__name__", str(kind))
