"""What of a run is explained: its settings, methods that see patches or RNA, names that are not there."""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.explain_settings import Explain, ExplainEmbeddings, ExplainGenes
from mirrorflow.config.fields import defaults_of
from mirrorflow.config.methods import PRETRAINED_FAMILIES


def explained_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section with its defaults, whether the config has it or not."""
    return {**defaults_of(Explain), **(config.get("explain") or {})}


def genes_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``explain.genes``, likewise."""
    return {**defaults_of(ExplainGenes), **explained_settings(config)["genes"]}


def embeddings_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Section ``explain.embeddings``, likewise."""
    return {**defaults_of(ExplainEmbeddings), **explained_settings(config)["embeddings"]}


def explainable(config: Mapping[str, Any]) -> list[str]:
    """Methods of the run that see patches as such: networks trained on labels, and pretrained ones."""
    return [name for name, entry in config["methods"].items() if "slides" in entry["inputs"] and _is_network(entry)]


def gene_methods(config: Mapping[str, Any]) -> list[str]:
    """Networks of the run that see RNA, pretrained or trained on labels."""
    return [name for name, entry in config["methods"].items() if "rna" in entry["inputs"] and _is_network(entry)]


def _is_network(entry: Mapping[str, Any]) -> bool:
    return entry["family"] in PRETRAINED_FAMILIES or "train" in entry


def explain_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that are not of this run, or of methods that see no patches, or no RNA."""
    there = ", ".join(config["methods"])
    for name in explained_settings(config)["methods"]:
        if name not in config["methods"]:
            yield f"explain.methods: {name!r} is no method of this run (there: {there})"
        elif name not in (able := explainable(config)):
            yield f"explain.methods: {name!r} sees no patches (those that do: {', '.join(able)})"
    for name in genes_settings(config)["methods"]:
        if name not in config["methods"]:
            yield f"explain.genes.methods: {name!r} is no method of this run (there: {there})"
        elif name not in (able := gene_methods(config)):
            yield f"explain.genes.methods: {name!r} is no network that sees RNA (those that are: {', '.join(able)})"
    for name in explained_settings(config)["protocols"]:
        if name not in config["protocols"]:
            yield f"explain.protocols: {name!r} is no protocol of this run (there: {', '.join(config['protocols'])})"
