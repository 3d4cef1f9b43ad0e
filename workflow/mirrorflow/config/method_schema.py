"""What the families of methods state, put together: the parts of the config's schema in which several families meet.

A config's ``pretrain``, ``train`` and ``network``, and the keys of an entry under ``methods``, take what any family
has; which of them a method has is checked by :meth:`mirrorflow.config.methods.Method.resolved`.
"""

from collections.abc import Mapping
from typing import Any

from mirrorflow.config.fields import Settings, keys_of, property_of, schema_of
from mirrorflow.config.methods import METHODS, PRETRAINED_FAMILIES, Method
from mirrorflow.config.training_settings import PretrainSettings, Train
from mirrorflow.errors import ConfigError

PRETRAIN_KEYS = (
    "width", "slide_heads", "rna_heads", "landmarks", "mlp_ratio", "dropout", "tokens", "short", "slide_mask_ratio",
    "rna_mask_ratio", "prototypes", "style_widths", "attention", "objective", "losses", "clustering",
    "same_patient_negatives", "alignment_weight", "retention_weight", "style_clustering_weight", "temperature",
)  # fmt: skip
"""Their order in resolved configs, which rules compare as they stand; others follow in the order of their families."""


def with_families(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The config's schema with what the families of config/methods.yaml state."""
    networks = [method for method in METHODS.values() if method.kind == "network"]
    names = ", ".join(method.name for method in networks)
    own = schema["properties"]["methods"]["additionalProperties"]["properties"]
    first = {key: own.pop(key) for key in ("inputs", "tasks")}
    if any(method.presets for method in METHODS.values()):
        presets = sorted({preset for method in METHODS.values() for preset in method.presets})
        first["preset"] = {"enum": presets, "description": "Settings of the method under a name; others stand on top."}
    others = {**first, **_own_keys(), **own}
    pretrained = ", ".join(PRETRAINED_FAMILIES)
    others["pretrain"]["description"] = f"{pretrained}: {others['pretrain']['description']}"
    own.clear()
    own.update(others)
    parts = {
        "pretrain": {**schema_of(PretrainSettings), "description": PRETRAIN, "properties": pretrain_keys()},
        "train": _without_defaults(schema_of(Train), f"How a supervised method ({names}) is trained; defaults below."),
        "network": {
            "type": "object",
            "additionalProperties": False,
            "description": NETWORK,
            "properties": _union({method.name: method.parts["SETTINGS"] for method in networks}),
        },
    }
    return {**schema, "$defs": {**schema["$defs"], **parts}}


PRETRAIN = (
    "Self-supervised pretraining (MIRROR, TANGLE). What is not said to be one method's alone counts for both; for what "
    "is not named here TANGLE has defaults of its own (see the methods below). MIRROR's published values are width "
    "768, 8 and 12 heads, 2,048 tokens, 3,000 prototypes, batch 16, learning rate 2e-5, 100 epochs, nystrom, features "
    "as they are."
)
NETWORK = "Sizes of a supervised method's network; which of these a method has, and their defaults, see below."


def _without_defaults(schema: dict[str, Any], description: str) -> dict[str, Any]:
    keys = {
        key: {k: v for k, v in one.items() if k not in ("default", "x-default")}
        for key, one in schema["properties"].items()
    }
    return {**schema, "description": description, "properties": keys}


def _own_keys() -> dict[str, Any]:
    """Keys of an entry under ``methods`` that some families have: those of classical models, and of inputs."""
    families = {method.family: method for method in METHODS.values()}
    own = {name: of for name, method in families.items() for of in _own_parts(method)}
    return _union(own)


def _own_parts(method: Method) -> list[type[Settings]]:
    parts = method.parts
    return [parts[name] for name in (("SETTINGS",) if method.kind == "classical" else ("INPUTS",)) if name in parts]


def _union(families: Mapping[str, type[Settings]]) -> dict[str, Any]:
    """Every key of some families, without defaults; described by what they say, with their names before it."""
    holders: dict[str, dict[str, dict[str, Any]]] = {}
    for family, of in families.items():
        for one in keys_of(of):
            holders.setdefault(one.name, {})[family] = property_of(of, one.name)
    return {key: _joined(found, alone=len(found) < len(families)) for key, found in holders.items()}


def _joined(found: Mapping[str, dict[str, Any]], *, alone: bool) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    bounds: list[dict[str, Any]] = []
    for family, one in found.items():
        texts.setdefault(one["description"], []).append(family)
        rest = {key: value for key, value in one.items() if key not in ("description", "default")}
        if rest not in bounds:
            bounds.append(rest)
    said = [f"{', '.join(names)}: {text}" for text, names in texts.items()]
    if not alone and len(said) == 1:
        (text,) = texts
        said = [text[0].upper() + text[1:]]
    return {**(bounds[0] if len(bounds) == 1 else {"anyOf": bounds}), "description": " ".join(said)}


def pretrain_keys() -> dict[str, Any]:
    """The section ``pretrain``: what shapes the networks of its families, then how they are trained."""
    families = {method.family: method.parts["SETTINGS"] for method in METHODS.values() if method.kind == "pretrained"}
    training = {one.name: property_of(PretrainSettings, one.name) for one in keys_of(PretrainSettings)}
    found: dict[str, Any] = {}
    owners: dict[str, list[str]] = {}
    for family, of in families.items():
        for one in keys_of(of):
            stated = property_of(of, one.name)
            if found.setdefault(one.name, stated) != stated:
                message = (
                    f"{family}: {one.name}: {owners[one.name][0]} states it, too, with another default, bound or "
                    "description; take it from mirrorflow.config.training_settings.PairedShape, or name it otherwise"
                )
                raise ConfigError(message)
            owners.setdefault(one.name, []).append(family)
    for key, names in owners.items():
        if len(names) < len(families) and key not in training:
            found[key]["x-family"] = names[0] if len(names) == 1 else names
    whole = {**found, **training}
    first = [key for key in PRETRAIN_KEYS if key in whole]
    later = [key for key in training if key not in first]
    return {key: whole[key] for key in [*first, *later, *(key for key in found if key not in first + later)]}
