"""One form of every number of a config: a share written ``0`` is 0.0, a count written ``5.0`` is 5.

What is equal then reads equal: Snakemake compares params by their text, and digests are made of text.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from mirrorflow.config.bounds import fits


def with_one_form(schema: Mapping[str, Any], value: Any, kinds: Mapping[str, Any]) -> Any:
    """``value`` with its numbers as its JSON schema states them (``value`` unchanged): floats where it says ``number``,
    whole numbers where it says ``integer``, the schema's own where it lists them. What it says nothing of stays.

    kinds: the ``$defs`` that ``$ref`` names.
    """
    schema = _meant(schema, value, kinds)
    if isinstance(value, Mapping):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        below = others if isinstance(others, Mapping) else {}
        return {key: with_one_form(known.get(key, below), one, kinds) for key, one in value.items()}
    if isinstance(value, list):
        return [with_one_form(schema.get("items", {}), one, kinds) for one in value]
    return value if isinstance(value, bool) or not isinstance(value, Real) else _number(schema, value)


def _meant(schema: Mapping[str, Any], value: Any, kinds: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a value is held against: behind a ``$ref``, or the first branch that fits."""
    if "$ref" in schema:
        return _meant(kinds[schema["$ref"].rsplit("/", 1)[-1]], value, kinds)
    if "anyOf" in schema:
        fitting = [one for one in schema["anyOf"] if fits(value, one, kinds)]
        return _meant(fitting[0], value, kinds) if fitting else schema
    return schema


def _number(schema: Mapping[str, Any], value: Any) -> Any:
    types = schema.get("type", ())
    allowed = [types] if isinstance(types, str) else types
    listed = [one for one in schema.get("enum", ()) if not isinstance(one, bool) and one == value]
    if listed:
        return listed[0]
    if "integer" in allowed:
        return int(value) if value == int(value) else value
    return float(value) + 0.0 if "number" in allowed else value  # + 0.0: the form of -0.0
