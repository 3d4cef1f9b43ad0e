"""What of a run is explained on slides: its settings, methods that see patches, names that are not there."""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.explain_settings import Explain
from mirrorflow.config.fields import defaults_of
from mirrorflow.config.methods import PRETRAINED_FAMILIES


def explained_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section with its defaults, whether the config has it or not."""
    return {**defaults_of(Explain), **(config.get("explain") or {})}


def explainable(config: Mapping[str, Any]) -> list[str]:
    """Methods of the run that see patches as such: networks trained on labels, and pretrained ones."""
    return [
        name
        for name, entry in config["methods"].items()
        if "slides" in entry["inputs"] and (entry["family"] in PRETRAINED_FAMILIES or "train" in entry)
    ]


def explain_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that are not of this run, or of methods that see no patches."""
    named = explained_settings(config)
    for name in named["methods"]:
        if name not in config["methods"]:
            yield f"explain.methods: {name!r} is no method of this run (there: {', '.join(config['methods'])})"
        elif name not in explainable(config):
            yield f"explain.methods: {name!r} sees no patches (those that do: {', '.join(explainable(config))})"
    for name in named["protocols"]:
        if name not in config["protocols"]:
            yield f"explain.protocols: {name!r} is no protocol of this run (there: {', '.join(config['protocols'])})"
