"""Bounds of settings: the kinds of values that many keys share, and what is wrong with a value, in words.

The same bounds, as JSON schema, check the config that a user writes (:mod:`mirrorflow.config.schema`).
"""

import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from mirrorflow.errors import ConfigError

KINDS: dict[str, dict[str, Any]] = {
    "name": {
        "type": "string",
        "pattern": r"^(?!\.+$)[a-z0-9._-]{1,100}$(?!\n)",
        "x-allowed": "1 to 100 characters of [a-z0-9._-], not dots alone",
        "description": "A name that becomes part of a path.",
    },
    "path": {
        "type": "string",
        "minLength": 1,
        "description": "A file or folder; relative paths are relative to the working directory.",
    },
    "count": {"type": "integer", "minimum": 1, "description": "A positive whole number."},
    "fraction": {"type": "number", "minimum": 0, "maximum": 1, "description": "A share between 0 and 1."},
    "positive": {"type": "number", "exclusiveMinimum": 0, "description": "A number above 0."},
    "columns": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Our column name -> the sheet's column name.",
    },
}
"""Kinds of values that a schema names by ``$ref``."""

ALLOWED = "x-allowed"
"""What a pattern allows, in words."""

TYPES: dict[str, tuple[type, str]] = {
    "integer": (Integral, "a whole number"),
    "number": (Real, "a number"),
    "string": (str, "text"),
    "boolean": (bool, "true or false"),
    "object": (Mapping, "a mapping"),
    "array": (list | tuple, "a list"),  # type: ignore[dict-item]
    "null": (type(None), "empty"),
}


BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def check_bounds(where: str, bounds: Collection[str]) -> None:
    """Raise TypeError for a bound that there is none: a misspelt one would hold nothing."""
    if strange := sorted(set(bounds) - set(BOUNDS)):
        message = f"{where}: unknown {', '.join(strange)}; bounds are {', '.join(BOUNDS)}"
        raise TypeError(message)


def problem_of(value: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with a value, as the end of a sentence: ``it must be above 0``; nothing where it fits."""
    schema = {**KINDS.get(str(schema.get("$ref", "")).rsplit("/", 1)[-1], {}), **schema}
    if "anyOf" in schema:
        problems = [problem_of(value, one) for one in schema["anyOf"]]
        return "" if "" in problems else problems[0]
    if "enum" in schema and value not in schema["enum"]:
        return f"allowed: {', '.join(map(str, schema['enum']))}"
    if "type" in schema and not _is(value, schema["type"]):
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return f"it must be {' or '.join(TYPES[kind][1] for kind in kinds)}"
    if isinstance(value, list | tuple):
        return _problem_of_list(value, schema)
    if isinstance(value, str):
        fits = len(value) >= schema.get("minLength", 0) and re.search(schema.get("pattern", ""), value)
        return "" if fits else f"allowed: {schema.get(ALLOWED) or schema.get('pattern', 'some text')}"
    return _problem_of_number(value, schema) if isinstance(value, Real) else ""


def fits(value: Any, schema: Mapping[str, Any], kinds: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a config fits its JSON schema, by the keywords that settings use; ``kinds``: the schema's ``$defs``.

    False in doubt (a whole number written 5.0): then the ``jsonschema`` package has the last word, and the words. It
    takes longer to import than all of the config, which every process of a run reads and finds right.
    """
    if "$ref" in schema and not fits(value, kinds[schema["$ref"].rsplit("/", 1)[-1]], kinds):
        return False
    if "anyOf" in schema and not any(fits(value, one, kinds) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, one, kinds) for one in schema["oneOf"]) != 1:
        return False
    if "enum" in schema and not any(type(value) is type(one) and value == one for one in schema["enum"]):
        return False
    if "type" in schema and not _is(value, schema["type"]):
        return False
    if isinstance(value, Mapping):
        return _mapping_fits(value, schema, kinds)
    if isinstance(value, list | tuple):
        return _list_fits(value, schema, kinds)
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and bool(re.search(schema.get("pattern", ""), value))
    return isinstance(value, bool) or not isinstance(value, Real) or not _problem_of_number(value, schema)


def _mapping_fits(value: Mapping[Any, Any], schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> bool:
    known, names, others = (
        schema.get("properties", {}),
        schema.get("propertyNames", {}),
        schema.get("additionalProperties"),
    )
    if len(value) < schema.get("minProperties", 0) or any(key not in value for key in schema.get("required", ())):
        return False
    for key, one in value.items():
        below = known.get(key, {} if others is None else others)
        if below is False or not fits(key, names, kinds) or not fits(one, below, kinds):
            return False
    return True


def _list_fits(value: Any, schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> bool:
    if isinstance(value, tuple) or not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and any(one in value[:place] for place, one in enumerate(value)):
        return False
    return all(fits(one, schema.get("items", {}), kinds) for one in value)


def _is(value: Any, types: str | list[str]) -> bool:
    kinds = [types] if isinstance(types, str) else types
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, TYPES[kind][0]) for kind in kinds)


def _problem_of_list(values: list[Any] | tuple[Any, ...], schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems", len(values))
    problems = [problem for value in values if (problem := problem_of(value, schema.get("items", {})))]
    options = schema.get("items", {}).get("enum")
    if options and (problems or len(values) < least):
        return f"name at least one of {', '.join(map(str, options))}" if least else f"allowed: {', '.join(options)}"
    if not least <= len(values) <= most:
        return f"it takes {least} values" if least == most else f"it takes {least} values at least"
    if schema.get("uniqueItems") and len(set(values)) < len(values):
        return "each value may stand there once"
    return problems[0] if problems else ""


def not_finite(value: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """One line for every NaN or infinity in a config: no bound holds them, and no schema refuses them."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from not_finite(one, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from not_finite(one, (*place, str(number)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{'.'.join(place)}: {value!r} is no finite number (YAML's .nan and .inf)"


def _problem_of_number(value: Any, schema: Mapping[str, Any]) -> str:
    if not math.isfinite(value):
        return "it must be a finite number"
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    inside = (low is None or value >= low) and (above is None or value > above)
    inside = inside and (high is None or value <= high) and (below is None or value < below)
    if inside:
        return ""
    if low is not None and high is not None:
        return f"it must be from {low} to {high}"
    first = [] if low is None else [f"at least {low}"]
    words = [
        *first,
        *(
            f"{word} {bound}"
            for word, bound in zip(("above", "up to", "below"), (above, high, below), strict=True)
            if bound is not None
        ),
    ]
    return f"it must be {' and '.join(words)}"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """An unknown key with the closest one that there is."""
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown key {key!r}{hint} (allowed: {', '.join(known)})"


def check_passes(*, compiled: bool, micro_batch: int | None) -> None:
    """Raise ConfigError for compiled passes in micro-batches."""
    if compiled and micro_batch is not None:
        message = "compile and micro_batch are both set: compiled passes draw other dropout the second time; drop one"
        raise ConfigError(message)


def check_heads(width: int, heads: int, *, what: str) -> None:
    """Raise ConfigError unless ``heads`` divide ``width``."""
    if heads < 1 or width % heads:
        message = f"width {width} is not divisible by {what} {heads}; choose a multiple (48, 96, 192, 384, 768)"
        raise ConfigError(message)


def check_cox_batches(survival: str, batch_size: int) -> None:
    """Raise ConfigError for Cox's partial likelihood over batches of one: its only unit is its own risk set, so that
    the loss is 0 and nothing of survival is learned.
    """
    if survival == "cox" and batch_size < 2:
        message = (
            f"survival is cox and batch_size {batch_size}: Cox's partial likelihood compares the units of a batch, and "
            "one alone teaches nothing; set train.batch_size to 2 or more (16), or train.survival to hazards"
        )
        raise ConfigError(message)
