"""The methods, as config/methods.yaml lists them: kind, inputs, tasks, settings, source, and the module of each.

Free of torch and pandas, as the config is. A method is one entry of that file and one module, ``models/<family>.py``
or ``probes/<family>.py`` (``-`` becomes ``_``).
"""

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from mirrorflow.config.resources import METHODS_FILE, read_yaml, resource_digest
from mirrorflow.errors import ConfigError

KINDS = {"pretrained": {"slides", "rna"}, "network": {"slides"}, "classical": set[str]()}
"""What a method can be, and the inputs that it then sees at least."""
INPUTS = ("slides", "rna", "clinical")
TASKS = ("subtyping", "survival")

OF_EVERY_METHOD = ("tasks", "cohorts")
"""Keys that a run may set for any method."""


@dataclass(frozen=True)
class Method:
    """One entry of the file; the file's head says what each field is. Raises ConfigError for what cannot be."""

    name: str
    title: str
    source: str
    kind: str
    inputs: Sequence[str]
    tasks: Sequence[str]
    published: str = ""
    family: str = ""
    inputs_any_of: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    describes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.name)
        for key, found, known in (
            ("kind", [self.kind], KINDS),
            ("inputs", [*self.inputs, *self.inputs_any_of], INPUTS),
            ("tasks", self.tasks, TASKS),
        ):
            if wrong := [str(one) for one in found if one not in known]:
                message = f"{METHODS_FILE.name}: {self.name}.{key}: {', '.join(wrong)}: allowed are {', '.join(known)}"
                raise ConfigError(message)
        alone = "clinical" not in (*self.inputs, *self.inputs_any_of) or list(self.inputs) == ["clinical"]
        if not alone or not KINDS[self.kind] <= set(self.inputs) or (self.inputs_any_of and self.kind != "classical"):
            message = (
                f"{METHODS_FILE.name}: {self.name}.inputs: {', '.join(self.inputs) or 'none'}: a pretrained method "
                "sees slides and rna, a network slides (and rna), a classical one any of both or clinical alone"
            )
            raise ConfigError(message)

    @classmethod
    def of_entry(cls, name: str, entry: Mapping[str, Any], train: Mapping[str, Any]) -> "Method":
        """From the file; train: how networks are trained where the entry's ``settings.train`` says nothing else."""
        own = [one for one in fields(cls) if one.name != "name"]
        needed = [one.name for one in own if one.default is MISSING and one.default_factory is MISSING]
        unknown, missing = sorted(set(entry) - {one.name for one in own}), sorted(set(needed) - set(entry))
        if unknown or missing:
            wrong = [f"unknown key {key}" for key in unknown] + [f"{key} missing" for key in missing]
            message = f"{METHODS_FILE.name}: {name}: {', '.join(wrong)} (keys: {', '.join(one.name for one in own)})"
            raise ConfigError(message)
        settings = dict(entry.get("settings", {}))
        if entry["kind"] == "network":
            settings = {"train": {**train, **settings.get("train", {})}, "network": {}} | {
                key: value for key, value in settings.items() if key != "train"
            }
        return cls(name, **{**entry, "settings": settings})

    @property
    def defaults(self) -> dict[str, Any]:
        """Inputs, tasks and settings, as a run's resolved config has them."""
        own = {"inputs": list(self.inputs), "tasks": list(self.tasks), **self.settings}
        return copy.deepcopy(own)

    def resolved(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run's method ``name`` (this one, or a variant): ``entry`` on top of the defaults.

        Raises ConfigError for every setting that would have no effect or that the method cannot follow.
        """
        if problems := list(self._problems(f"methods.{name}", entry)):
            message = "the config asks of methods what they do not have:\n" + "\n".join(f"  {one}" for one in problems)
            raise ConfigError(message)
        defaults = self.defaults
        parts: dict[str, Any] = {
            key: {**defaults[key], **entry.get(key, {})} for key in ("train", "network") if key in defaults
        }
        return {"family": self.family, **defaults, **entry} | parts

    def _problems(self, where: str, entry: Mapping[str, Any]) -> Iterator[str]:
        inputs = entry.get("inputs", self.inputs)
        known = self._keys(inputs)
        for key in entry:
            if key not in known:
                yield f"{where}.{key}: {_shown(entry[key])}: {self._why_not(key, inputs)} it has {', '.join(known)}"
        yield from _outside(f"{where}.inputs", inputs, self.inputs_any_of or self.inputs, fixed=not self.inputs_any_of)
        yield from _outside(f"{where}.tasks", entry.get("tasks", self.tasks), self.tasks)
        for part in ("train", "network"):
            has = self.settings.get(part, {})
            if part in known and (unknown := [key for key in entry.get(part, {}) if key not in has]):
                yield f"{where}.{part}: {', '.join(unknown)}: this method has {', '.join(has) or 'none'}"

    def _keys(self, inputs: Collection[str]) -> list[str]:
        """Keys of a run's entry that have an effect on a method that sees ``inputs``."""
        slides, rna = "slides" in inputs, "rna" in inputs
        return [
            *(["inputs"] if self.inputs else []),
            *OF_EVERY_METHOD,
            *(["encoders"] if slides else []),
            *(["selection"] if rna else []),
            *(["pretrain"] if self.kind == "pretrained" else []),
            *(key for key in self.settings if slides or key != "pooling"),
        ]

    def _why_not(self, key: str, inputs: Collection[str]) -> str:
        if key in ("pooling", "encoders") and "slides" not in inputs:
            return f"{self.name} sees no slides here;"
        if key == "selection":
            return f"{self.family} sees no genes;"
        if key == "pretrain":
            return f"{self.family} is not pretrained, only {', '.join(PRETRAINED_FAMILIES)} are;"
        return f"no setting of {self.name};"


def _outside(where: str, values: Sequence[str], allowed: Sequence[str], *, fixed: bool = False) -> Iterator[str]:
    """A line where ``values`` are not some of ``allowed`` (``fixed``: not all of them)."""
    if fixed and set(values) != set(allowed):
        yield f"{where}: {_shown(values)}: this method takes exactly {_shown(allowed)}"
    elif wrong := [value for value in values if value not in allowed]:
        yield f"{where}: {', '.join(wrong)}: this method knows {', '.join(allowed)}"


def _shown(value: object) -> str:
    return json.dumps(value).replace('"', "")


def _of_file() -> tuple[dict[str, Method], dict[str, Any]]:
    """The file's methods by name, in its order, and how networks are trained."""
    content = read_yaml(METHODS_FILE)
    train = content["train"]
    return {name: Method.of_entry(name, entry, train) for name, entry in content["methods"].items()}, train


METHODS, SUPERVISED_TRAINING = _of_file()
PRETRAINED_FAMILIES = tuple(dict.fromkeys(one.family for one in METHODS.values() if one.kind == "pretrained"))
"""Families that are pretrained without labels, embedded, then probed."""
NETWORKS = tuple(name for name, one in METHODS.items() if one.kind == "network")
"""Methods that are trained on labels."""


def method_of(name: str) -> Method:
    """The method that a run's ``name`` (``<method>`` or ``<method>--<variant>``) starts from.

    Raises ConfigError that lists the known ones.
    """
    base = name.split("--")[0]
    if base not in METHODS:
        known = ", ".join(METHODS)
        message = f"methods.{name}: unknown method {base!r}; known: {known} (variants: <method>--<variant>)"
        raise ConfigError(message)
    return METHODS[base]


def with_settings_of_methods(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The config's schema with the settings that methods describe themselves.

    Those of ``train``, ``network`` and ``pretrain`` go to these sections (``pretrain``: marked as the family's own),
    others under ``methods``. Raises ConfigError for a setting that is described neither there nor in the schema.
    """
    whole = copy.deepcopy(dict(schema))
    own = whole["properties"]["methods"]["additionalProperties"]["properties"]
    for method in METHODS.values():
        for key, described in method.describes.items():
            if key in ("train", "network"):
                whole["$defs"][key]["properties"] |= described
            elif key == "pretrain":
                marked = {name: {**one, "x-family": method.family} for name, one in described.items()}
                whole["$defs"][key]["properties"] |= marked
            else:
                own[key] = described
        _check_described(method, own, whole["$defs"])
    return whole


def _check_described(method: Method, own: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    keys = [(f"settings.{key}", key in own) for key in method.settings]
    for part in ("train", "network"):
        known = definitions[part]["properties"]
        keys += [(f"settings.{part}.{key}", key in known) for key in method.settings.get(part, {})]
    if unknown := [key for key, described in keys if not described]:
        message = (
            f"{METHODS_FILE.name}: {method.name}: {', '.join(unknown)}: no method had it before; say under `describes` "
            "what it may be, e.g. {type: number, minimum: 0, description: ...}"
        )
        raise ConfigError(message)


def names_digest() -> str:
    """Stands for what names things in tables and figures: resources/names.tsv, and the methods' titles and labels."""
    names = [(name, method.title, method.published) for name, method in METHODS.items()]
    return hashlib.sha256(json.dumps([resource_digest("names.tsv"), names]).encode()).hexdigest()[:16]
