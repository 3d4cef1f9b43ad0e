"""Keys of a YAML config as text: a number is its own text; what YAML made of a word (``No:``) is refused by name.

YAML 1.1 reads ``No``, ``on``, ``~`` and ``2024-01-01`` as booleans, nothing and dates, ``010`` as eight, and of two
equal keys the last one counts, in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mirrorflow.config.resources import LOADER
from mirrorflow.errors import ConfigError

TAG = "tag:yaml.org,2002:"
KINDS = {"bool": "true or false", "null": "nothing (null)", "timestamp": "a date"}
"""What YAML takes a key for that is no text, by the last part of its tag."""


def with_text_keys(value: Any, place: tuple[str, ...] = ()) -> Any:
    """A config with every key as text, at every depth. Raises ConfigError for a key that is no text and no number."""
    if isinstance(value, list):
        return [with_text_keys(one, place) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        text = _text(key, place)
        if text in found:
            message = f"{_where(place)}: the key {text!r} stands there twice, as a number and as text; keep one"
            raise ConfigError(message)
        found[text] = with_text_keys(one, (*place, text))
    return found


def _text(key: Any, place: tuple[str, ...]) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or not isinstance(key, int | float):
        message = (
            f"{_where(place)}: YAML reads one of its keys as {key!r}, which is no text: quote it, as in "
            '"No": (YAML takes yes, no, on, off, true, false, ~ and dates without quotes for something else)'
        )
        raise ConfigError(message)
    return str(key)


def _where(place: tuple[str, ...]) -> str:
    return ".".join(place) or "(top level)"


def check_files(paths: Sequence[Path]) -> None:
    """Raise ConfigError that lists, with file and line, keys that stand twice and those that YAML takes for no text.

    A file that is not there or no YAML is left to its reader.
    """
    problems: list[str] = []
    for path in paths:
        try:
            node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=LOADER)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        problems += [f"{path}, line {line}: {what}" for line, what in _problems(node, ())]
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(node: yaml.Node | None, place: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _problems(one, place)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, one in node.value:
        line, text = key.start_mark.line + 1, str(key.value)
        if text in lines:
            yield (
                line,
                f"{_where(place)}: the key {text!r} stands in line {lines[text]}, too, and YAML drops one; keep one",
            )
        elif problem := _key_problem(key):
            yield line, f"{_where(place)}: {problem}"
        lines.setdefault(text, line)
        yield from _problems(one, (*place, text))


def _key_problem(key: yaml.Node) -> str:
    """What YAML makes of a key that is written without quotes, where that is not its text."""
    kind, text = key.tag.removeprefix(TAG), str(key.value)
    if kind in KINDS:
        return f'YAML reads the key {text} as {KINDS[kind]}: quote it, "{text}":'
    if kind not in ("int", "float"):
        return ""
    read = yaml.load(text, Loader=LOADER)
    return "" if str(read) == text else f'YAML reads the key {text} as the number {read}: quote it, "{text}":'
