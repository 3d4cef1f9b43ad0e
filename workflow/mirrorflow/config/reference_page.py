"""The reference of all config keys, written from the settings (config/README.md)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.fields import default_of
from mirrorflow.config.methods import METHODS, SUPERVISED_TRAINING
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.schema import load_schema
from mirrorflow.config.training_settings import Train

HEAD = """# Config reference

Written by `mirrorflow config-reference` from the dataclasses of the settings (`mirrorflow/config/*_settings.py`, and
`SETTINGS` in the modules of the methods); a test holds the two equal.
A key that is not listed here is refused. `<name>` stands for a name of one's own. `{store}` in a path stands for
the value of `store`. Examples: `config.yaml` (the demo, loaded only when no `--configfile` is given),
`features.yaml` (a cohort of one's own); templates of the sheets are in `templates/`.

| key | default | what it is |
| --- | --- | --- |
"""


def reference() -> str:
    """The reference as Markdown."""
    schema = load_schema()
    rows = [f"| `{key}` | {default} | {text} |" for key, default, text in _walk(schema, schema, "")]
    return HEAD + "\n".join(rows) + "\n\n" + _presets() + "\n" + _methods()


def _walk(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, child in schema.get("properties", {}).items():
        yield from _entry(child, root, f"{prefix}{name}")
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and "description" in others and ("properties" in others or "$ref" in others):
        resolved = resolve_reference(others, root)
        if "properties" in resolved:
            yield from _walk(resolved, root, f"{prefix}<name>.")


def _entry(child: Mapping[str, Any], root: Mapping[str, Any], key: str) -> Iterator[tuple[str, str, str]]:
    resolved = resolve_reference(child, root)
    nested = "properties" in resolved or isinstance(resolved.get("additionalProperties"), dict)
    nested = nested and not resolved.get("x-partial")
    default = json.dumps(resolved["default"]) if "default" in resolved and resolved["default"] != {} else ""
    text = str(resolved.get("description", "")).strip().replace("|", r"\|").replace("<", "&lt;")
    if "enum" in resolved:
        text += " One of " + ", ".join(f"`{value}`" for value in resolved["enum"]) + "."
    if "x-family" in resolved:
        owners = resolved["x-family"]
        text += f" Of {', '.join(f'`{one}`' for one in ([owners] if isinstance(owners, str) else owners))} alone."
    yield key, f"`{default}`" if default else "", text
    if nested:
        yield from _walk(resolved, root, f"{key}.")


def resolve_reference(child: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema with what its ``$ref`` names filled in."""
    if "$ref" not in child:
        return dict(child)
    return {**root["$defs"][child["$ref"].rsplit("/", 1)[-1]], **{k: v for k, v in child.items() if k != "$ref"}}


def _presets() -> str:
    names = list(PROTOCOL_PRESETS)
    lines = ["## Protocol presets", "", "| key | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for key in PROTOCOL_PRESETS["honest"]:
        values = [json.dumps(PROTOCOL_PRESETS[name][key]).strip('"') for name in names]
        lines.append(f"| `{key}` | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _methods() -> str:
    """Defaults of every method, and what the keys of ``train`` and ``network`` mean."""
    lines = [
        "## Defaults of the methods",
        "",
        "Written from `methods.yaml` beside this file and the methods' modules.",
        "",
    ]
    lines += ["| method | settings | source |", "| --- | --- | --- |"]
    lines += [f"| {name} | {_settings(method.defaults)} | {method.source} |" for name, method in METHODS.items()]
    lines += ["", "`train` and `network` of the supervised methods:", "", "| key | default | what it is |"]
    lines.append("| --- | --- | --- |")
    root = load_schema()
    for part in ("train", "network"):
        for key, _, text in _walk(root["$defs"][part], root, ""):
            default = f"`{json.dumps(default_of(Train.__dataclass_fields__[key]))}`" if part == "train" else "see above"
            lines.append(f"| `methods.<name>.{part}.{key}` | {default} | {text} |")
    lines += _further("Deviations from the sources:", {m.name: m.deviations for m in METHODS.values() if m.deviations})
    presets = {m.name: ", ".join(f"`{name}`" for name in m.presets) for m in METHODS.values() if m.presets}
    lines += _further("Presets (`methods.<name>.preset`):", presets)
    return "\n".join(lines) + "\n"


def _further(head: str, said: Mapping[str, str]) -> list[str]:
    """A list of what is said of some methods; nothing where nothing is."""
    return ["", head, "", *(f"- {name}: {text}" for name, text in said.items())] if said else []


def _settings(method: Mapping[str, Any]) -> str:
    """A method's defaults in one cell; of ``train`` and ``pretrain`` only what is its own."""
    own = {key: value for key, value in method.get("train", {}).items() if value != SUPERVISED_TRAINING.get(key)}
    shown = {key: value for key, value in method.items() if key != "train"} | ({"train": own} if own else {})
    return ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in shown.items())
