"""The methods, as config/methods.yaml lists them: kind, inputs, tasks, source, presets, and the module of each.

Free of torch and pandas, as the config is. A method is one entry of that file and one module, ``models/<family>.py``
or ``probes/<family>.py`` (``-`` becomes ``_``), which states what can be set (:mod:`.families`).
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

from mirrorflow.config.evaluation_settings import TASKS
from mirrorflow.config.families import module_path, modules_of_families, package_of, settings_of
from mirrorflow.config.fields import Settings, defaults_of, keys_of
from mirrorflow.config.modules import HOW
from mirrorflow.config.resources import METHODS_FILE, read_yaml, resource_digest
from mirrorflow.config.settings import INPUTS
from mirrorflow.config.training_settings import PretrainSettings, Train
from mirrorflow.errors import ConfigError

KINDS = {"pretrained": {"slides", "rna"}, "network": set[str](), "classical": set[str]()}
"""What a method can be, and the inputs that it then sees at least; a network sees slides, RNA or both."""

ALONE = ("clinical", "site")
"""Inputs of a classical method that sees nothing else."""
OF_EVERY_METHOD = ("tasks", "cohorts")
"""Keys that a run may set for any method."""
MAPPINGS = ("train", "network", "pretrain")
"""Keys whose values are settings, which stand on top of one another one by one."""


@dataclass(frozen=True)
class Method:
    """One entry of the file; the file's head says what each field is. Raises ConfigError for impossible values."""

    name: str
    title: str
    source: str
    kind: str
    inputs: Sequence[str]
    tasks: Sequence[str]
    published: str = ""
    family: str = ""
    inputs_any_of: Sequence[str] = ()
    deviations: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.name)
        for key in ("inputs", "tasks", "inputs_any_of"):
            if isinstance(value := getattr(self, key), str) or not isinstance(value, Sequence):
                message = f"{METHODS_FILE.name}: {self.name}.{key}: {value}: write a list: [{value or ''}]"
                raise ConfigError(message)
        for key, found, known in (
            ("kind", [self.kind], KINDS),
            ("inputs", [*self.inputs, *self.inputs_any_of], INPUTS),
            ("tasks", self.tasks, TASKS),
        ):
            if wrong := [str(one) for one in found if one not in known]:
                message = f"{METHODS_FILE.name}: {self.name}.{key}: {', '.join(wrong)}: allowed are {', '.join(known)}"
                raise ConfigError(message)
        named = (*self.inputs, *self.inputs_any_of)
        alone = all(one not in named or list(self.inputs) == [one] for one in ALONE)
        blind = self.kind == "network" and not {"slides", "rna"} & set(self.inputs)
        lacking = blind or not KINDS[self.kind] <= set(self.inputs)
        if not alone or lacking or (self.inputs_any_of and self.kind != "classical"):
            message = (
                f"{METHODS_FILE.name}: {self.name}.inputs: {', '.join(self.inputs) or 'none'}: a pretrained method "
                "sees slides and rna, a network slides, rna or both, a classical one any of both, or clinical alone, "
                "or site alone"
            )
            raise ConfigError(message)

    @classmethod
    def of_entry(cls, name: str, entry: Mapping[str, Any]) -> "Method":
        """From the file."""
        own = [one for one in fields(cls) if one.name != "name"]
        needed = [one.name for one in own if one.default is MISSING and one.default_factory is MISSING]
        unknown, missing = sorted(set(entry) - {one.name for one in own}), sorted(set(needed) - set(entry))
        if unknown or missing:
            wrong = [f"unknown key {key}" for key in unknown] + [f"{key} missing" for key in missing]
            message = f"{METHODS_FILE.name}: {name}: {', '.join(wrong)} (keys: {', '.join(one.name for one in own)})"
            raise ConfigError(message)
        return cls(name, **entry)

    @cached_property
    def parts(self) -> Mapping[str, type[Settings]]:
        """What its family's module states: ``SETTINGS``, and ``TRAIN`` and ``INPUTS`` where it has such."""
        return settings_of(self.kind, self.family)

    @property
    def version(self) -> int:
        """Version of its family: raised there, it re-trains this method alone."""
        return self.parts["SETTINGS"].VERSION

    @property
    def settings(self) -> dict[str, Any]:
        """What a run may set under the method's name, with its default."""
        parts = self.parts
        inputs = defaults_of(parts["INPUTS"]) if "INPUTS" in parts else {}
        if self.kind == "network":
            return {
                "train": defaults_of(parts.get("TRAIN", Train)),
                "network": defaults_of(parts["SETTINGS"]),
                **inputs,
            }
        if self.kind == "pretrained":
            return ({"pretrain": own} if (own := self._own_pretraining()) else {}) | inputs
        return defaults_of(parts["SETTINGS"]) | inputs

    def _own_pretraining(self) -> dict[str, Any]:
        """Defaults of its pretraining that are not those of the section ``pretrain``."""
        shared = defaults_of(PretrainSettings)
        own = defaults_of(self.parts.get("TRAIN", PretrainSettings))
        return {key: value for key, value in own.items() if value != shared[key]}

    @property
    def defaults(self) -> dict[str, Any]:
        """Inputs, tasks and settings, as a run's resolved config has them."""
        return {"inputs": list(self.inputs), "tasks": list(self.tasks), **self.settings}

    def resolved(
        self, name: str, entry: Mapping[str, Any], pretrain: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, Any]:
        """The settings of a run's method ``name`` (this one, or a variant): ``entry`` on top of its preset, if it names
        one, and that on top of the defaults.

        pretrain: what the config's section of this name names. It stands on top of the method's own defaults and
        preset, under ``entry``.

        Raises ConfigError for every setting that would have no effect or that the method cannot follow.
        """
        if problems := list(self._problems(f"methods.{name}", entry)):
            message = "the config asks of methods what they do not have:\n" + "\n".join(f"  {one}" for one in problems)
            raise ConfigError(message)
        named = set(pretrain)
        defaults = _without(self.defaults, "pretrain", named)
        preset = _without(self.presets.get(entry.get("preset", ""), {}), "pretrain", named)
        parts = {
            key: layers for key in MAPPINGS if (layers := [one[key] for one in (defaults, preset, entry) if key in one])
        }
        merged = {key: {k: v for layer in layers for k, v in layer.items()} for key, layers in parts.items()}
        return {"family": self.family, **defaults, **preset, **entry} | merged

    def preset_problems(self) -> Iterator[str]:
        """What of its presets it does not have."""
        for name, preset in self.presets.items():
            yield from self._problems(f"{METHODS_FILE.name}: {self.name}.presets.{name}", preset)

    def _problems(self, where: str, entry: Mapping[str, Any]) -> Iterator[str]:
        inputs = entry.get("inputs", self.inputs)
        known = self._keys(inputs)
        for key in entry:
            if key not in known:
                yield f"{where}.{key}: {_shown(entry[key])}: {self._why_not(key, inputs)} it has {', '.join(known)}"
        if self.presets and "preset" in entry and entry["preset"] not in self.presets:
            yield f"{where}.preset: {entry['preset']}: {self.name} has {', '.join(self.presets)}"
        yield from _outside(f"{where}.inputs", inputs, self.inputs_any_of or self.inputs, fixed=not self.inputs_any_of)
        yield from _outside(f"{where}.tasks", entry.get("tasks", self.tasks), self.tasks)
        for part in ("train", "network"):
            has = self._keys_of_part(part)
            if part in known and (unknown := [key for key in entry.get(part, {}) if key not in has]):
                yield f"{where}.{part}: {', '.join(unknown)}: this method has {', '.join(has) or 'none'}"

    def _keys_of_part(self, part: str) -> list[str]:
        if self.kind != "network":
            return []
        return [
            one.name for one in keys_of(self.parts.get("TRAIN", Train) if part == "train" else self.parts["SETTINGS"])
        ]

    def _keys(self, inputs: Collection[str]) -> list[str]:
        """Keys of a run's entry that have an effect on a method that sees ``inputs``."""
        slides, rna = "slides" in inputs, "rna" in inputs
        return [
            *(["inputs"] if self.inputs else []),
            *OF_EVERY_METHOD,
            *(["preset"] if self.presets else []),
            *(["encoders"] if slides else []),
            *(["selection"] if rna else []),
            *(["pretrain"] if self.kind == "pretrained" else []),
            *(key for key in self.settings if key != "pretrain" and (slides or key != "pooling")),
        ]

    def _why_not(self, key: str, inputs: Collection[str]) -> str:
        if key in ("pooling", "encoders") and "slides" not in inputs:
            return f"{self.name} sees no slides here;"
        if key == "selection":
            return f"{self.family} sees no genes;"
        if key == "pretrain":
            return f"{self.family} is not pretrained, only {', '.join(PRETRAINED_FAMILIES)} are;"
        return f"no setting of {self.name};"


def _without(layer: Mapping[str, Any], part: str, keys: Collection[str]) -> dict[str, Any]:
    """``layer`` without some keys of its ``part``; without the part where nothing is left of it."""
    left = {key: value for key, value in layer.get(part, {}).items() if key not in keys}
    return {**{key: value for key, value in layer.items() if key != part}, **({part: left} if left else {})}


def _outside(where: str, values: Sequence[str], allowed: Sequence[str], *, fixed: bool = False) -> Iterator[str]:
    """A line where ``values`` are not some of ``allowed`` (``fixed``: not all of them)."""
    if fixed and set(values) != set(allowed):
        yield f"{where}: {_shown(values)}: this method takes exactly {_shown(allowed)}"
    elif wrong := [value for value in values if value not in allowed]:
        yield f"{where}: {', '.join(wrong)}: this method knows {', '.join(allowed)}"


def _shown(value: object) -> str:
    return json.dumps(value).replace('"', "")


METHODS = {name: Method.of_entry(name, entry) for name, entry in read_yaml(METHODS_FILE)["methods"].items()}
"""The file's methods by name, in its order."""
SUPERVISED_TRAINING = defaults_of(Train)
"""How networks are trained on labels, where a family says nothing else."""
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


def check_families() -> None:
    """Raise ConfigError for an entry without a module, and for a family's module that no entry names."""
    known = {(package_of(method.kind), method.family.replace("-", "_")) for method in METHODS.values()}
    for method in METHODS.values():
        if module_path(package_of(method.kind), method.family) is None:
            settings_of(method.kind, method.family)
    if wrong := [problem for method in METHODS.values() for problem in method.preset_problems()]:
        raise ConfigError("\n".join(wrong))
    if strange := [
        f"{package}/{module}.py" for package, module in modules_of_families() if (package, module) not in known
    ]:
        where = f"mirrorflow/{', '.join(strange)}"
        message = f"{where}: a family (it has SETTINGS) without an entry in {METHODS_FILE.name}; {HOW}"
        raise ConfigError(message)


def names_digest() -> str:
    """Stands for what names things in tables and figures: resources/names.tsv, and the methods' titles and labels."""
    names = [(name, method.title, method.published) for name, method in METHODS.items()]
    return hashlib.sha256(json.dumps([resource_digest("names.tsv"), names]).encode()).hexdigest()[:16]
