"""What a resolved config says: the encoders, genes, models and settings of a method, a protocol, a cohort."""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mirrorflow.config import versions
from mirrorflow.config.method_schema import pretrain_keys
from mirrorflow.config.methods import METHODS, PRETRAINED_FAMILIES
from mirrorflow.config.modalities import lacking
from mirrorflow.config.protocols import REPAIRED, SEES_LABELS, SINGLE_CHANGE, scope_of
from mirrorflow.config.site_baseline import mixes
from mirrorflow.config.training_settings import Train

STACKED_BIASES = ("mmp", "survpath", "snntrans")
"""Families whose layers have a bias for each of several tokens or pathways, stacked to a matrix."""

CAUSE_SPECIFIC = "cause-specific"
"""What an outcome of one cause of death is called in tables and captions."""


def strange_keys(family: str) -> set[str]:
    """Keys of the section `pretrain` that the schema marks as another family's."""
    return {key for key, owners in _owners_of_keys().items() if family not in owners}


@functools.cache
def _owners_of_keys() -> dict[str, list[str]]:
    owners = {key: one["x-family"] for key, one in pretrain_keys().items() if "x-family" in one}
    return {key: [names] if isinstance(names, str) else names for key, names in owners.items()}


def split_source(cohort: Mapping[str, Any], splits: str) -> str | None:
    """Folder of split files that a protocol's ``splits`` reads on a cohort, None where its folds are drawn here.

    ``published-repaired`` reads those of ``published``: make_splits fixes them.
    """
    return cohort["splits"].get(splits.removesuffix(REPAIRED))


def endpoint_of(cohort: Mapping[str, Any]) -> str:
    """What a cohort's cause-specific outcome is called (DSS); empty where its outcome is any other."""
    said = cohort["clinical"].get("cause_specific")
    return "" if said is None else said.get("name") or cohort["clinical"]["outcome"]


def merged_selection(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A gene selection with a method's own keys on top, those of ``rfe`` one by one."""
    merged = {**base, **own}
    return merged | {"rfe": {**base["rfe"], **own["rfe"]}} if "rfe" in own else merged


def selection_of(config: Mapping[str, Any], method: str | None = None) -> dict[str, Any]:
    """What chooses the genes of a method: ``expression.selection`` with the method's own keys on top."""
    own = config["methods"][method].get("selection", {}) if method else {}
    return merged_selection(config["expression"]["selection"], own)


def sees_genes(method: Mapping[str, Any]) -> bool:
    """Whether a method (its entry) sees RNA, and of it the genes selected (not those of gene sets in a file)."""
    return "rna" in method["inputs"] and method.get("gene_sets", "random") == "random"


def gene_variant(config: Mapping[str, Any], method: str | None) -> str:
    """``<method>/`` where a method has a gene selection of its own, else nothing: where its genes lie in ``genes/``."""
    return f"{method}/" if method and "selection" in config["methods"][method] else ""


def shots_of(config: Mapping[str, Any], name: str) -> list[int]:
    """The k-shot settings of the protocol ``name``; none for a single change's, whose table is of all data."""
    return [] if name.startswith(SINGLE_CHANGE) else config["evaluation"]["shots"]


def methods_under(config: Mapping[str, Any], name: str) -> list[str]:
    """Methods that the protocol ``name`` is run with: all, or those of the optimism table for a single change's.

    A method that is ``under: mixing`` is run where folds may have a site on both sides, and under no single change.
    """
    chosen = config["evaluation"]["optimism"]["methods"] if name.startswith(SINGLE_CHANGE) else []
    mixing = mixes(name, config["protocols"][name])
    return [
        method
        for method, entry in config["methods"].items()
        if (not chosen or method in chosen) and (mixing or entry.get("under", "all") == "all")
    ]


def few_shot_prefix(config: Mapping[str, Any], name: str, method: str | None = None) -> str:
    """``few-shot-`` where the k-shot settings of a protocol (and method) have genes of their own, else nothing.

    It stands before the names of their files: ``genes/few-shot-fold<k>.tsv`` beside ``genes/fold<k>.tsv``.
    """
    labelled = selection_of(config, method)["method"] in SEES_LABELS
    own = config["protocols"][name]["few_shot_genes"] == "none" and labelled and shots_of(config, name)
    return "few-shot-" if own else ""


def inner_prefixes(config: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """``inner0-``, ``inner1-``, ...: what the files of a protocol's inner folds begin with, none without ``nested``.

    They stand beside those of the fold: ``genes/inner0-fold<k>.tsv`` beside ``genes/fold<k>.tsv``.
    """
    count = config["splits"]["inner_folds"] if protocol["epoch"] == "nested" else 0
    return [f"inner{number}-" for number in range(count)]


def has_epochs(method: Mapping[str, Any]) -> bool:
    """Whether a protocol's ``epoch`` concerns a method: a probe on pretrained vectors, or a network with labels."""
    return method["family"] in PRETRAINED_FAMILIES or "train" in method


def learns_hazards(method: Mapping[str, Any]) -> bool:
    """Whether a method's survival is trained on discrete hazards: heads on pretrained vectors, and most networks."""
    if "train" in method:
        return method["train"].get("survival", Train.survival) == "hazards"
    return method["family"] in PRETRAINED_FAMILIES


def prefixes_of(config: Mapping[str, Any], name: str, method: str) -> list[str]:
    """What the names of a method's genes and models begin with under the protocol ``name``: the folds', k-shot
    settings', inner folds'.
    """
    inner = inner_prefixes(config, config["protocols"][name]) if has_epochs(config["methods"][method]) else []
    return list(dict.fromkeys(["", few_shot_prefix(config, name, method), *inner]))


def encoders_of(config: Mapping[str, Any], cohort: str, method: str) -> list[str]:
    """Encoders a method is run with on a cohort; ``none`` for methods without slides, nothing where it is not run."""
    entry = config["methods"][method]
    place = config["cohorts"][cohort]
    if cohort not in entry.get("cohorts", config["cohorts"]) or lacking(place, entry["inputs"]):
        return []
    own = place["encoders"]
    return [name for name in own if name in entry.get("encoders", own)] if "slides" in entry["inputs"] else ["none"]


def planned_models(config: Mapping[str, Any]) -> dict[str, int]:
    """How many models of each pretrained method a run makes, those of k-shot settings and inner folds among them."""
    models = {
        (method, scope_of(protocol), cohort, encoder, prefix)
        for name, protocol in config["protocols"].items()
        for method in methods_under(config, name)
        if config["methods"][method]["family"] in PRETRAINED_FAMILIES
        for cohort in config["cohorts"]
        for encoder in encoders_of(config, cohort, method)
        for prefix in prefixes_of(config, name, method)
    }
    counts = Counter(method for method, *_ in models)
    each = len(config["seeds"]) * config["splits"]["folds"]
    return {method: count * each for method, count in counts.items()}


def version_of_family(base: int, family: str) -> int | str:
    """``base``, the version of algorithms that families share, with the family's own where it has been raised."""
    own = next(method.version for method in METHODS.values() if method.family == family)
    return base if own == 1 else f"{base}, {family} {own}"


def version_with_settings(version: int | str, method: Mapping[str, Any], epoch: str) -> int | str:
    """``version`` with those of single settings where they have been raised: what is made with other settings is kept.

    epoch: the protocol's.
    """
    train = method.get("train", {})
    if "train" in method and not learns_hazards(method):
        version = f"{version}, Cox {versions.COX_NETWORKS}"
    if epoch == "best_on_evaluation" and has_epochs(method):
        version = f"{version}, undefined choice {versions.UNDEFINED_CHOICE}"
    if epoch == "least_loss_on_evaluation" and learns_hazards(method):
        version = f"{version}, hazards' choice {versions.HAZARDS_CHOICE}"
    if train.get("decay") == "matrices" and method["family"] in STACKED_BIASES:
        version = f"{version}, spared vectors {versions.SPARED_VECTORS}"
    return version
