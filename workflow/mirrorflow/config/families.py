"""The settings of a method's family, read from the family's module without importing it.

A family is one module, ``models/<family>.py`` or ``probes/<family>.py``, and most of these import torch, which costs
seconds in each of a run's processes; the settings are needed by all of them. So only the lines that state settings
are run: the dataclasses that the module calls

- ``SETTINGS``: what shapes the network or the model. Every family's module has it (``SETTINGS = Settings`` where
  there is nothing to set): a module that says so is a family, and an entry in config/methods.yaml belongs to it.
- ``TRAIN``: a subclass of :class:`~mirrorflow.config.training_settings.Train` where the family's training has
  defaults of its own; of ``PretrainSettings`` for a family that is pretrained.
- ``INPUTS``: what says on which data the method is fitted, such as a file of gene sets.

Their fields may use what :mod:`mirrorflow.config`, ``dataclasses`` and ``typing`` offer, nothing else.
"""

import ast
import functools
import importlib
import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from mirrorflow.config.fields import Settings, keys_of
from mirrorflow.config.modules import HOW
from mirrorflow.errors import ConfigError

PARTS = ("SETTINGS", "TRAIN", "INPUTS")
LIGHT = ("mirrorflow.config", "mirrorflow.errors", "dataclasses", "typing", "collections.abc")
NEEDED = {"pretrained": ("NETWORK",), "network": ("build",), "classical": ("fit", "from_arrays")}
"""What a module has beside ``SETTINGS``, by the kind of its method."""
IS_FAMILY = re.compile(r"^SETTINGS\b.*=", re.MULTILINE)


def package_of(kind: str) -> str:
    """Where the module of a method of this kind lies."""
    return "probes" if kind == "classical" else "models"


def module_path(package: str, family: str) -> Path | None:
    """File of the module of a family (``-`` becomes ``_``); None where there is none."""
    module = family.replace("-", "_")
    spec = importlib.util.find_spec(f"mirrorflow.{package}.{module}") if module.isidentifier() else None
    return Path(spec.origin) if spec is not None and spec.origin else None


def settings_of(kind: str, family: str) -> Mapping[str, type[Settings]]:
    """The dataclasses of a family, by the names of :data:`PARTS`.

    Raises ConfigError where there is no such module, where it lacks what a method of this kind needs, or where its
    settings need more than they may.
    """
    package = package_of(kind)
    path = module_path(package, family)
    where = f"{family}: mirrorflow/{package}/{family.replace('-', '_')}.py"
    if path is None:
        message = f"{where} is not there, though config/methods.yaml has an entry for it; {HOW}"
        raise ConfigError(message)
    found = _stated(path, path.stat().st_mtime_ns, f"mirrorflow.{package}.{path.stem}")
    if "SETTINGS" not in found.parts:
        message = f"{where} has no `SETTINGS`, the dataclass of what can be set; {HOW}"
        raise ConfigError(message)
    if missing := [name for name in NEEDED[kind] if name not in found.names]:
        message = f"{where} has no `{missing[0]}`, though the entry says kind: {kind}; {HOW}"
        raise ConfigError(message)
    if kind == "network" and (problem := _unlike(found.build, found.parts["SETTINGS"])):
        message = f"{where}: {problem}; the fields of SETTINGS are the keywords of `build`"
        raise ConfigError(message)
    return found.parts


def _unlike(build: ast.FunctionDef | None, settings: type[Settings]) -> str:
    """What `build` does not take of the settings, or wants beside them; empty where they agree."""
    if build is None or build.args.kwarg is not None:  # imported, or it takes any keyword
        return ""
    fields, arguments = {one.name for one in keys_of(settings)}, build.args
    taken = {one.arg for one in (*arguments.args[1:], *arguments.kwonlyargs)}
    given = [one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default]
    if lacking := sorted(fields - taken):
        return f"`build` takes no {', '.join(lacking)}, which SETTINGS states"
    if strange := sorted(taken - fields - set(given)):
        return f"`build` wants {', '.join(strange)}, which SETTINGS does not state"
    return ""


def modules_of_families() -> Iterator[tuple[str, str]]:
    """Package and name of every module that is a family's: it has a line ``SETTINGS = ...``."""
    for package in ("models", "probes"):
        for folder in importlib.import_module(f"mirrorflow.{package}").__path__:
            for path in sorted(Path(folder).glob("*.py")):
                if IS_FAMILY.search(path.read_text(encoding="utf-8")):
                    yield package, path.stem


class _Module(NamedTuple):
    """What a family's module states, every name it has, and its function ``build``."""

    parts: Mapping[str, type[Settings]]
    names: Collection[str]
    build: ast.FunctionDef | None


@functools.cache
def _stated(path: Path, _changed_ns: int, name: str) -> _Module:
    loader = _SettingsAlone(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
        parts = {part: getattr(module, called) for part, called in loader.called.items()}
    except TypeError as error:  # a setting with a keyword that its kind does not have
        message = f"{path.name}: {error}; the kinds of settings are in mirrorflow.config.fields"
        raise ConfigError(message) from error
    except (NameError, AttributeError) as error:
        message = f"{path.name}: {error}: settings may use what {', '.join(LIGHT)} offer, nothing else"
        raise ConfigError(message) from error
    functions = [node for node in loader.tree.body if isinstance(node, ast.FunctionDef) and node.name == "build"]
    return _Module(parts, frozenset(_names(loader.tree)), functions[0] if functions else None)


class _SettingsAlone(SourceFileLoader):
    """Loads of a module the statements that its settings need."""

    called: Mapping[str, str] = {}
    """What the parts are called in the module."""
    tree = ast.Module([], [])

    def get_code(self, fullname: str) -> CodeType:
        self.tree = ast.parse(self.get_data(self.path))
        self.called = dict(_assigned(self.tree))
        body = [node for node in self.tree.body if _is_needed(node, set(self.called.values()))]
        return compile(ast.Module(body, []), self.path, "exec")


def _names(tree: ast.Module) -> Iterator[str]:
    """Everything that a module calls something: functions, classes, values, imports."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (one.asname or one.name for one in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from (
                one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            )


def _assigned(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """``SETTINGS = X``, or one of several at once: the part and what it is called."""
    for node in tree.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]  # type: ignore[attr-defined]
        for one, what in pairs:
            if isinstance(one, ast.Name) and one.id in PARTS and isinstance(what, ast.Name):
                yield one.id, what.id


def _is_needed(node: ast.stmt, wanted: set[str]) -> bool:
    """Whether settings may need a statement: light imports, the wanted classes, the one import of such a class."""
    if isinstance(node, ast.ClassDef):
        return node.name in wanted
    if isinstance(node, ast.ImportFrom):
        return str(node.module).startswith(LIGHT) or any(one.name in wanted for one in node.names)
    return isinstance(node, ast.Import) and all(one.name.startswith(LIGHT) for one in node.names)
