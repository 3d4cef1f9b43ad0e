"""Classes that a config names, held against the labels of a sheet."""

from collections.abc import Mapping

from mirrorflow.config.names_in_case import differ_in_case
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import ConfigError, InputError

SHOWN = 10


def check_classes(labels: set[str], classes: Mapping[str, str]) -> None:
    """Raise ConfigError for a class made of a word that stands for unknown, and for classes that no label has.

    Without ``classes`` every label is one: raises InputError for labels that differ in case only.
    """
    if words := [name for name in classes if is_unknown(name)]:
        message = (
            f"classes: {', '.join(map(repr, words))} stands for an unknown label; write the sheet's class as a word"
        )
        raise ConfigError(message)
    if classes and labels and not labels & set(classes):
        message = (
            f"classes: none of {', '.join(map(repr, classes))} is a label of the sheet, which has "
            f"{', '.join(map(repr, sorted(labels)[:SHOWN]))}; write them as the sheet does, or leave `classes` empty"
        )
        raise ConfigError(message)
    if not classes and (twice := list(differ_in_case(sorted(labels), "label"))):
        message = f"{twice[0]}, or name both under `classes`"
        raise InputError(message)
