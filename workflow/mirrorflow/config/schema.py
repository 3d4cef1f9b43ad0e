"""The config's schema: loaded, held against a config, its defaults filled in."""

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mirrorflow.config.bounds import ALLOWED, fits, unknown_key
from mirrorflow.config.method_schema import with_families
from mirrorflow.config.settings import schema_of_sections

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def load_schema() -> dict[str, Any]:
    """The JSON schema of the config, as a mapping: made from the sections' dataclasses (:mod:`.settings`) and from
    those of the methods' families (:mod:`.families`).
    """
    return with_families(schema_of_sections())


def schema_errors(schema: Mapping[str, Any], raw: Mapping[str, Any]) -> "Iterator[ValidationError]":
    """What of ``raw`` does not fit the schema, in the order of the keys."""
    if fits(raw, schema, schema["$defs"]):
        return
    from jsonschema import Draft202012Validator

    for error in sorted(Draft202012Validator(schema).iter_errors(raw), key=lambda e: list(map(str, e.path))):
        yield from _leaves(error)


def _leaves(error: "ValidationError") -> "Iterator[ValidationError]":
    """The errors that name a value: those inside an ``anyOf`` say more than the ``anyOf`` itself."""
    deeper = [e for e in error.context or [] if len(e.path) > 0 or e.validator == "additionalProperties"]
    if not deeper:
        yield error
    for child in deeper:
        yield from _leaves(child)


def describe(error: "ValidationError") -> str:
    """One line for one error: the key, the value, what is allowed."""
    where = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return "; ".join(f"{where}: {unknown_key(key, known)}" for key in unknown)
    if error.validator == "enum":
        return f"{where}: {error.instance!r} is not one of {', '.join(map(repr, error.validator_value))}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {', '.join(missing)} missing"
    if error.validator in ("oneOf", "anyOf"):
        return f"{where}: {error.instance!r}: needs exactly one of: {'; '.join(map(_choice, error.validator_value))}"
    if error.validator == "pattern" and ALLOWED in error.schema:
        return f"{where}: {error.instance!r}; allowed: {error.schema[ALLOWED]}"
    hint = ""
    if error.validator == "type" and _is_number(error.instance):
        hint = " (YAML takes it for text: leave quotes away; an exponent needs a point, as in 2.0e-5)"
    if error.validator == "type" and error.validator_value == "string" and isinstance(error.instance, int | float):
        hint = " (YAML takes it for a number, or yes and no for true and false: write it in quotes)"
    return f"{where}: {error.message}{hint}"


def _choice(schema: Mapping[str, Any]) -> str:
    """What one branch of a choice asks for, in words."""
    if "required" in schema:
        return ", ".join(schema["required"])
    return "empty (null)" if schema.get("type") == "null" else str(schema.get("$ref", schema)).rsplit("/", 1)[-1]


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def fill_defaults(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any] | None = None) -> Any:
    """Return ``value`` with the schema's defaults in every mapping it describes (``value`` unchanged).

    Keys come in the schema's order, so that the order in which a config names them re-runs nothing; names of
    one's own (classes, methods, ...) keep their order, which tables follow. A mapping the schema marks
    ``x-partial`` overrides another: it gets no defaults.
    """
    root = root if root is not None else schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] | {k: v for k, v in schema.items() if k != "$ref"}
    if not isinstance(value, Mapping) or schema.get("x-partial"):
        return copy.deepcopy(value)
    filled = {}
    properties = schema.get("properties", {})
    for key, child in properties.items():
        if key in value or "default" in child:
            filled[key] = fill_defaults(child, value[key] if key in value else child["default"], root)
    others = schema.get("additionalProperties")
    for key, item in value.items():
        if key not in filled:
            filled[key] = fill_defaults(others if isinstance(others, dict) else {}, item, root)
    return filled
