"""The config: validated against its schema, defaults filled in, protocols and methods spelled out.

Free of torch and pandas: every Snakemake process, on a cluster every job, parses it again.
"""

from collections.abc import Mapping
from typing import Any

from mirrorflow.config import adaptation as adaptations
from mirrorflow.config.aliases import with_new_names
from mirrorflow.config.bounds import not_finite
from mirrorflow.config.checks import check_references
from mirrorflow.config.datasets import with_downloads
from mirrorflow.config.encoder_table import encoder_table
from mirrorflow.config.methods import PRETRAINED_FAMILIES, check_families, method_of
from mirrorflow.config.number_form import with_one_form
from mirrorflow.config.protocols import SINGLE_CHANGE, resolved_protocol, single_change_protocols
from mirrorflow.config.queries import strange_keys
from mirrorflow.config.schema import describe, fill_defaults, load_schema, schema_errors
from mirrorflow.config.site_baseline import with_site_baseline
from mirrorflow.config.yaml_keys import with_text_keys
from mirrorflow.errors import ConfigError


def resolve(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``raw`` validated, with every default filled in, protocols and methods spelled out, numbers in one form.

    Raises ConfigError that names each wrong key, its value and what is allowed.
    """
    check_families()
    raw = with_new_names(with_text_keys(raw))
    schema = load_schema()
    problems = list(dict.fromkeys([*not_finite(raw), *map(describe, schema_errors(schema, raw))]))
    if problems:
        message = "the config does not fit its schema:\n" + "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(message)
    config = fill_defaults(schema, raw)
    _fill_image_sizes(config, raw)
    config = _fill_placeholders(config, {"store": config["store"]})
    config = with_downloads(config)
    config["protocols"] = {name: resolved_protocol(name, keys) for name, keys in config["protocols"].items()}
    config["protocols"] |= single_change_protocols(config)
    named = raw.get("pretrain", {})
    config["methods"] = {
        name: method_of(name).resolved(name, entry or {}, named) for name, entry in with_site_baseline(config).items()
    }
    _name_gdc_sheets(config)
    _fill_gene_sets(config)
    _fill_pretraining(config)
    config["adaptation"] = adaptations.filled(config, PRETRAINED_FAMILIES, SINGLE_CHANGE)
    config = with_one_form(schema, config, schema["$defs"])
    check_references(config, raw)
    return config


def _fill_image_sizes(config: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """The size that a named encoder sees, where the config leaves it open: it is not 224 px for all."""
    for name, keys in raw.get("features", {}).get("encoders", {}).items():
        known = encoder_table().get(keys["model"])
        if known is not None and "image_size" not in keys:
            config["features"]["encoders"][name]["image_size"] = known.image_size


def _fill_placeholders(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill_placeholders(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_placeholders(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
    return value


def _fill_gene_sets(config: Mapping[str, Any]) -> None:
    """Gene sets of the methods that need them: their own file, else that of the gene selection; none is an error."""
    for name, method in config["methods"].items():
        if "gene_sets" not in method:
            continue
        method["gene_sets"] = method["gene_sets"] or config["expression"]["selection"]["gene_sets"]
        if method["gene_sets"] is None:
            message = (
                f"methods.{name}.gene_sets: pathways are needed: a CSV with one column a set, its name on top and "
                "symbols below (as MSigDB's Hallmarks), here or under expression.selection.gene_sets; `random` takes "
                "random groups of the selected genes instead"
            )
            raise ConfigError(message)


def _fill_pretraining(config: Mapping[str, Any]) -> None:
    """Every setting of a method's pretraining: the section ``pretrain`` as far as its family knows it, the method's own
    keys on top.
    """
    for method in config["methods"].values():
        if method["family"] in PRETRAINED_FAMILIES:
            strange = strange_keys(method["family"])
            shared = {key: value for key, value in config["pretrain"].items() if key not in strange}
            method["pretrain"] = {**shared, **method.get("pretrain", {})}


def _name_gdc_sheets(config: Mapping[str, Any]) -> None:
    """Where the sheet of slides that GDC lists is written; from there on it is a sheet like any other."""
    for cohort, entry in config["cohorts"].items():
        if "gdc" in entry.get("slides", ()):
            entry["slides"]["sheet"] = f"{config['store']}/gdc/{cohort}/slides.tsv"
