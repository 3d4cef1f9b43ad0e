"""Every key of the config changed to another valid value, one at a time: what the table of re-runs asks about.

The values come from the schema: the other words of an enumeration, the next number, a list with one more entry.
Where a value must fit another part of the config (a source's name, a folder of split files),
:data:`OTHER_VALUES` names one.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mirrorflow.config.reference_page import resolve_reference

OTHER_VALUES: dict[str, Any] = {
    "adaptation.<name>.encoders": ["resnet50"],
    "adaptation.<name>.methods": ["mirror"],
    "adaptation.<name>.protocols": ["paper"],
    "adaptation.<name>.targets": ["own"],
    "cohorts.<name>.classes": {"Alpha": "gamma", "Beta": "beta"},
    "cohorts.<name>.clinical.columns": {"label": "other_label"},
    "cohorts.<name>.clinical.download.matrix": "KIRC_clinicalMatrix",
    "cohorts.<name>.clinical.download.survival": "KIRP_clinicalMatrix",
    "cohorts.<name>.clinical.event_words": {"gone": 1},
    "cohorts.<name>.clinical.label": "other_label",
    "cohorts.<name>.encoders": ["phikon"],
    "cohorts.<name>.expression": "second",
    "cohorts.<name>.features": {"resnet50": "elsewhere/second"},
    "cohorts.<name>.institutions": "institutions.csv",
    "cohorts.<name>.slides.columns": {"patient": "slide_id"},
    "cohorts.<name>.slides.mixed": ["TS"],
    "cohorts.<name>.slides.gdc.endpoint": "https://example.org",
    "cohorts.<name>.splits": {"published": "other-folds"},
    "downloads.<name>.checksum": "md5:" + 32 * "0",
    "downloads.<name>.url": "https://example.org/other",
    "expression.sources.<name>.download": "tcga_rsem_isoform_tpm",
    "features.saw": {"resnet50": ["tcga"]},
    "slides.segmentation.min_threshold": 20.0,  # below the upper one
    "slides.segmentation.max_threshold": 60.0,
    "evaluation.optimism.against": "honest",
    "evaluation.reference": "cox",
    "evaluation.tasks": ["survival"],
    "evaluation.optimism.base": "paper",
    "evaluation.optimism.changes": ["splits"],
    "evaluation.optimism.methods": ["mirror"],
    "evaluation.primary.cohort": "own",
    "evaluation.primary.encoder": "phikon",
    "evaluation.primary.method": "survpath",
    "evaluation.primary.metric": "accuracy",
    "evaluation.primary.protocol": "paper",
    "evaluation.primary.setting": "10-shot",
    "explain.genes.methods": ["mirror"],
    "explain.methods": ["mirror"],
    "explain.patients": ["patient-1"],
    "explain.protocols": ["paper"],
    "features.encoders.<name>.model": "timm/vit_tiny_patch16_224",
    "features.encoders.<name>.mean": [0.5, 0.5, 0.5],
    "features.encoders.<name>.options": {"init_values": 1e-5},
    "features.encoders.<name>.patching": "512px-20x",
    "features.encoders.<name>.pooling": "avg",
    "features.encoders.<name>.std": [0.5, 0.5, 0.5],
    "features.encoders.<name>.weights": "random",
    "methods.<name>.cohorts": ["own"],
    "methods.<name>.encoders": ["phikon"],
    "methods.<name>.network": {"width": 8},
    "methods.<name>.pretrain": {"epochs": 7},
    "methods.<name>.selection": {"method": "variance"},
    "methods.<name>.train": {"epochs": 7},
    "new_patients.<name>.cohort": "own",
    "new_patients.<name>.days": [365],
    "new_patients.<name>.methods": ["cox"],
    "new_patients.<name>.protocol": "paper",
    "pretrain.rna_heads": 2,  # heads divide the width
    "pretrain.slide_heads": 2,
    "pretrain.width": 192,
    "protocols.<name>.preset": "honest-published",
    "protocols.<name>.splits": "random",
}
"""Values that another key's value or a file must know."""


@dataclass(frozen=True)
class Change:
    """One key's change: ``key`` as the config reference writes it, ``path`` to the very value, the new ``value``."""

    key: str
    path: tuple[str, ...]
    value: Any

    def apply(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of ``config`` (as a user wrote it) with this change."""
        changed = copy.deepcopy(dict(config))
        place = changed
        for part in self.path[:-1]:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[self.path[-1]] = self.value
        return changed


def all_changes(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[Change]:
    """A change for every key of ``schema`` at every place of ``config`` (resolved) where it can stand.

    Raises ValueError for a key for which no other value is known.
    """
    return list(_walk(schema, schema, config, (), ""))


def _walk(
    schema: Mapping[str, Any], root: Mapping[str, Any], value: Mapping[str, Any], path: tuple[str, ...], prefix: str
) -> Iterator[Change]:
    for name, child in schema.get("properties", {}).items():
        yield from _below(resolve_reference(child, root), root, value.get(name), (*path, name), prefix + name)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for name in value:
            if name not in schema.get("properties", {}):
                entry = resolve_reference(others, root)
                yield from _below(entry, root, value[name], (*path, name), f"{prefix}<name>")


def _below(
    schema: Mapping[str, Any], root: Mapping[str, Any], value: Any, path: tuple[str, ...], key: str
) -> Iterator[Change]:
    named = isinstance(schema.get("additionalProperties"), dict) and "properties" in resolve_reference(
        schema["additionalProperties"], root
    )
    if ("properties" in schema or named) and not schema.get("x-partial"):
        yield from _walk(schema, root, value or {}, path, f"{key}.")
    else:
        counts = schema.get("x-default") if value is None else value
        yield Change(key, path, OTHER_VALUES[key] if key in OTHER_VALUES else other_value(schema, root, counts, key))


def other_value(schema: Mapping[str, Any], root: Mapping[str, Any], value: Any, key: str) -> Any:
    """A value that ``schema`` allows and that is not ``value``. Raises ValueError when none is known."""
    if "enum" in schema:
        return next(word for word in schema["enum"] if word != value)
    if "anyOf" in schema:
        choices = [resolve_reference(one, root) for one in schema["anyOf"]]
        return other_value(next(one for one in choices if one.get("type") != "null"), root, value, key)
    kinds = schema.get("type")
    kind = next((one for one in kinds if one != "null"), None) if isinstance(kinds, list) else kinds
    if kind == "array":
        return _other_list(resolve_reference(schema.get("items", {}), root), list(value or []))
    makers: dict[str | None, Callable[[], Any]] = {
        "boolean": lambda: not value,
        "integer": lambda: _other_integer(schema, value),
        "number": lambda: _other_number(schema, value),
        "string": lambda: f"other-{value}" if value else "other.tsv",
    }
    if kind not in makers:
        message = f"{key}: no other value is known for it; name one in config_changes.OTHER_VALUES"
        raise ValueError(message)
    return makers[kind]()


def _other_list(items: Mapping[str, Any], value: list[Any]) -> list[Any]:
    if "enum" in items:
        return value[:-1] if len(value) > 1 else [word for word in items["enum"] if word not in value][:1] + value
    if items.get("type") == "integer":
        return [*value[:-1], value[-1] + 1] if value else [1]
    return [*value, "other"]


def _other_integer(schema: Mapping[str, Any], value: int | None) -> int:
    one_more = (value if value is not None else schema.get("minimum", 0)) + 1
    return one_more if one_more <= schema.get("maximum", one_more) else one_more - 2


def _other_number(schema: Mapping[str, Any], value: float | None) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0.0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2.0))
    middle = low + (high - low) / 2
    return middle if value != middle else low + (high - low) / 4
