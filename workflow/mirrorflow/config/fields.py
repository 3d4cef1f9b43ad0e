"""A setting is a field of a dataclass that carries its bounds and its description.

A section of the config is a frozen dataclass of such fields (:class:`Settings`). From it follow the part of the JSON
schema that checks a config (:func:`schema_of`), the defaults that are filled in, the reference page, and the check
that every instance passes, whoever made it. Each default, bound and description is stated in the dataclass and
nowhere else. Free of every library: each Snakemake process reads all settings.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from mirrorflow.config.bounds import check_bounds, problem_of, unknown_key
from mirrorflow.errors import ConfigError

S = TypeVar("S", bound="Section")


class _Unset:
    """Stands for the value of a key that may be left out and has no default."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()

SEED = 42
"""Where a seed is not handed in: that of the config's first run."""


class Section:
    """A section of the config that is read (:func:`stated`), never made into an object."""

    RULES: ClassVar[Mapping[str, Any]] = {}
    """What the JSON schema says of the keys together: ``{"oneOf": [{"required": ["sheet"]}, ...]}``"""


@dataclasses.dataclass(frozen=True)
class Settings(Section):
    """A section whose values some code takes as an object, which checks itself. Raises ConfigError naming key, value
    and what is allowed.
    """

    PLACE: ClassVar[str] = ""
    """What stands before a key in messages: ``train.``"""
    VERSION: ClassVar[int] = 1
    """Of a family's ``SETTINGS``: raised where the same settings give other values, it re-trains this method alone."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From a mapping. Raises ConfigError for an unknown key, too, with the closest one there is."""
        known = [one.name for one in dataclasses.fields(cls)]
        if unknown := [key for key in values if key not in known]:
            message = f"{cls.PLACE.rstrip('.') or cls.__name__}: {unknown_key(unknown[0], known)}"
            raise ConfigError(message)
        return cls(**values)

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if isinstance(value, list):  # of YAML or JSON: a frozen dataclass is hashed and compared
                object.__setattr__(self, one.name, tuple(value))
            if value is not UNSET and (problem := problem_of(value, schema_of_field(type(self), one.name))):
                shown = list(value) if isinstance(value, tuple) else value
                message = f"{self.PLACE}{one.name} is {shown!r}; {problem}"
                raise ConfigError(message)


def stated(of: type[S]) -> type[S]:
    """Decorator of a :class:`Section`: a dataclass of fields alone.

    The methods of a whole dataclass cost a millisecond each, in every process of a run.
    """
    return dataclasses.dataclass(init=False, repr=False, eq=False)(of)


def setting(about: str, default: Any = UNSET, *, origin: str = "", required: bool = False, **schema: Any) -> Any:
    """A field: what it is, its default (none: it may be left out), and the JSON schema of its values.

    origin: where the default comes from, "ours" or a paper. required: a config must name it.
    """
    return _field({"about": about, "schema": schema, "origin": origin}, default, required=required)


def newer(about: str, default: Any, *, origin: str = "", **schema: Any) -> Any:
    """A setting that came later: resolved configs do not name it unless the user does, so that what was made before it
    is not made again. Its default counts all the same.
    """
    return _field({"about": about, "schema": schema, "origin": origin, "unfilled": True}, default)


def _field(metadata: Mapping[str, Any], default: Any, *, required: bool = False) -> Any:
    if required:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=partial(copy.deepcopy, default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def of_data(about: str, **schema: Any) -> Any:
    """A field that the data decide (widths, counts): checked, but no key of a config."""
    return dataclasses.field(metadata={"about": about, "schema": schema or COUNT, "internal": True})


def of_run(about: str, default: Any, **schema: Any) -> Any:
    """A field that the run decides (seeds, the fold's passes): checked, but no key of this section."""
    return dataclasses.field(default=default, metadata={"about": about, "schema": schema, "internal": True})


def same(of: type[Section], key: str, *, unset: Any = ..., or_none: bool = False) -> Any:
    """The field ``key`` of another section, whose default, bounds and description are stated there alone.

    unset: stands for a value that a config does not name, where the section has no default. or_none: None may be, too.
    """
    found, metadata = _field_of(of, key), dict(metadata_of(of, key))
    if or_none:
        metadata["schema"] = {"anyOf": [metadata["schema"], NULL]}
    if isinstance(unset, dict):
        return dataclasses.field(default_factory=partial(dict, unset), metadata=metadata)
    if unset is not ...:
        return dataclasses.field(default=unset, metadata={**metadata, "unfilled": False})  # configs name one's own
    if found.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=found.default_factory, metadata=metadata)
    return dataclasses.field(default=found.default, metadata=metadata)


COUNT: dict[str, Any] = {"$ref": "#/$defs/count"}
POSITIVE: dict[str, Any] = {"$ref": "#/$defs/positive"}
FRACTION: dict[str, Any] = {"$ref": "#/$defs/fraction"}
NAME: dict[str, Any] = {"$ref": "#/$defs/name"}
PATH: dict[str, Any] = {"$ref": "#/$defs/path"}
NULL: dict[str, Any] = {"type": "null"}


def count(about: str, default: Any = UNSET, *, origin: str = "", required: bool = False) -> Any:
    """A positive whole number."""
    return setting(about, default, origin=origin, required=required, **COUNT)


def count_or_none(about: str, default: Any = UNSET) -> Any:
    """A positive whole number, or null."""
    return setting(about, default, anyOf=[COUNT, NULL])


def positive(about: str, default: Any = UNSET, *, origin: str = "") -> Any:
    """A number above 0."""
    return setting(about, default, origin=origin, **POSITIVE)


def fraction(about: str, default: Any = UNSET, *, origin: str = "") -> Any:
    """A share from 0 to 1."""
    return setting(about, default, origin=origin, **FRACTION)


def number(about: str, default: Any = UNSET, *, origin: str = "", **bounds: Any) -> Any:
    """A number with bounds of its own, as :func:`check_bounds` knows them."""
    check_bounds(f"number({about!r})", bounds)
    return setting(about, default, origin=origin, type="number", **bounds)


def whole(about: str, default: Any = UNSET, *, minimum: int = 0, origin: str = "") -> Any:
    """A whole number from ``minimum``."""
    return setting(about, default, origin=origin, type="integer", minimum=minimum)


def switch(about: str, default: Any = UNSET, *, origin: str = "") -> Any:
    """On or off."""
    return setting(about, default, origin=origin, type="boolean")


def choice(about: str, options: Sequence[Any], default: Any = UNSET, *, origin: str = "") -> Any:
    """One of some words."""
    return setting(about, default, origin=origin, enum=list(options))


def text(about: str, default: Any = UNSET, *, required: bool = False, **bounds: Any) -> Any:
    """Words of the user's own; bounds: ``pattern``."""
    return setting(about, default, required=required, type="string", **bounds)


def name(about: str, default: Any = UNSET, *, required: bool = False) -> Any:
    """A name that becomes part of a path."""
    return setting(about, default, required=required, **NAME)


def path(about: str = "", default: Any = UNSET) -> Any:
    """A file or folder."""
    return setting(about, default, **PATH)


def many(about: str, items: Mapping[str, Any], default: Any = UNSET, *, required: bool = False, **bounds: Any) -> Any:
    """A list; bounds: ``minItems``, ``uniqueItems``."""
    return setting(about, default, required=required, type="array", items=items, **bounds)


def section(of: type[Section], *, required: bool = False, unset: bool = False, **rules: Any) -> Any:
    """A section inside a section; described by its own docstring. ``unset``: none is filled in where none is named."""
    return setting("", UNSET if unset else {}, required=required, section=of, **rules)


def shared(kind: str, about: str = "", default: Any = UNSET, *, origin: str = "", **rules: Any) -> Any:
    """A section that several places hold, by its name in the schema's ``$defs``; ``x-partial``: it gets no defaults."""
    rules = {"$ref": f"#/$defs/{kind}", **rules}
    return setting(about, default, origin=origin, **rules)


def named(of: type[Section], about: str, default: Any = UNSET, *, required: bool = False, **rules: Any) -> Any:
    """Several sections of one kind by names of the user's own; ``nullable``: null stands for an empty one."""
    rules = {"type": "object", "propertyNames": {"$ref": "#/$defs/name"}, "entries": of, **rules}
    return setting(about, default, required=required, **rules)


# From a dataclass to its schema.


def schema_of(of: type[Section]) -> dict[str, Any]:
    """The JSON schema of a section: its keys in the order of the fields, unknown ones refused."""
    schema = {"type": "object", "additionalProperties": False, **of.RULES, "description": described(of)}
    if required := [one.name for one in keys_of(of) if not has_default(one)]:
        schema["required"] = required
    return schema | {"properties": {one.name: property_of(of, one.name) for one in keys_of(of)}}


def property_of(of: type[Section], key: str) -> dict[str, Any]:
    """The JSON schema of one key, with its default and description."""
    schema, about = schema_of_field(of, key), metadata_of(of, key)["about"]
    if about:
        schema["description"] = about
    default = default_of(_field_of(of, key))
    if default is UNSET:
        return schema
    return schema | {"x-default" if metadata_of(of, key).get("unfilled") else "default": default}


def schema_of_field(of: type[Section], key: str) -> dict[str, Any]:
    """The JSON schema of the values of one key alone."""
    schema = copy.deepcopy(dict(metadata_of(of, key)["schema"]))
    if inner := schema.pop("section", None):
        return schema_of(inner) | schema
    if inner := schema.pop("entries", None):
        empty = {"type": ["object", "null"]} if schema.pop("nullable", False) else {}
        return schema | {"additionalProperties": schema_of(inner) | empty}
    return schema


def keys_of(of: type[Section]) -> list[dataclasses.Field[Any]]:
    """The fields that a config may set."""
    return [one for one in _fields(of) if not metadata_of(of, one.name).get("internal")]


def defaults_of(of: type[Section]) -> dict[str, Any]:
    """Default of each key that has one, as a config writes it."""
    found = {one.name: default_of(one) for one in keys_of(of) if not metadata_of(of, one.name).get("unfilled")}
    return {key: value for key, value in found.items() if value is not UNSET}


def default_of(one: dataclasses.Field[Any]) -> Any:
    """A field's default as a config writes it; UNSET where it has none."""
    if one.default_factory is not dataclasses.MISSING:
        return one.default_factory()
    if one.default is dataclasses.MISSING:
        return UNSET
    return list(one.default) if isinstance(one.default, tuple) else one.default


def has_default(one: dataclasses.Field[Any]) -> bool:
    """Whether a field may be left out."""
    return one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING


def metadata_of(of: type[Section], key: str) -> Mapping[str, Any]:
    """What a field carries; a subclass that names another default keeps the bounds of the field it takes the place of.

    Raises ConfigError for a field that was not made by one of this module's functions.
    """
    for one in of.__mro__:
        found = one.__dict__.get("__dataclass_fields__", {}).get(key)
        if found is not None and "schema" in found.metadata:
            return found.metadata
    message = (
        f"{of.__module__}: {of.__name__}.{key}: no bounds and no description; make it a setting, "
        'e.g. count("what it is.", 16)'
    )
    raise ConfigError(message)


def described(of: type[Section]) -> str:
    """The first paragraph of a section's docstring: what the section is, for the schema and the reference."""
    return " ".join((of.__doc__ or "").split("\n\n")[0].split())


def _fields(of: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(of)  # type: ignore[arg-type]


def _field_of(of: type[Section], key: str) -> dataclasses.Field[Any]:
    return of.__dataclass_fields__[key]  # type: ignore[attr-defined]
