"""A family's module, found by its name: ``models/<family>.py`` or ``probes/<family>.py`` (``-`` becomes ``_``)."""

import importlib
import importlib.util
from typing import Any

from mirrorflow.errors import ConfigError

HOW = "docs/adding_a_method.md shows how"
"""What messages about an entry or a module end with."""


def part_of(package: str, family: str, name: str) -> Any:
    """What the module ``mirrorflow/<package>/<family>.py`` calls ``name``.

    Raises ConfigError where there is no such module, or nothing of that name in it.
    """
    module = family.replace("-", "_")
    where = f"mirrorflow.{package}.{module}"
    missing = f"has no `{name}`"
    try:
        found = importlib.import_module(where) if module.isidentifier() else None
    except ModuleNotFoundError as error:
        if error.name != where:
            raise
        found, missing = None, "is not there"
    if not hasattr(found, name):
        message = f"{family}: mirrorflow/{package}/{module}.py {missing}; {HOW}"
        raise ConfigError(message)
    return getattr(found, name)


def optional_part_of(package: str, family: str, name: str) -> Any | None:
    """As :func:`part_of`; None where the module calls nothing ``name``. Raises ConfigError where there is no module."""
    module = family.replace("-", "_")
    try:
        return part_of(package, family, name)
    except ConfigError:
        if importlib.util.find_spec(f"mirrorflow.{package}.{module}") is None:
            raise
        return None
