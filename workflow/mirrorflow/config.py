"""The config: validated against its schema, defaults filled in, protocols resolved.

Free of torch and pandas: every Snakemake process, on a cluster every job, parses it again.
"""

import copy
import difflib
import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from mirrorflow import adaptations
from mirrorflow.datasets import with_downloads
from mirrorflow.errors import ConfigError
from mirrorflow.methods import PRETRAINED_FAMILIES, method_of, with_settings_of_methods
from mirrorflow.resources import read_yaml

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"

PROTOCOL_PRESETS: dict[str, dict[str, Any]] = {
    "honest": {
        "unit": "patient",
        "splits": "site_preserved",
        "gene_selection": "fold",
        "rna_scaling": "train",
        "pretraining_epoch": "last",
        "epoch": "last",
        "survival_bins": "fold",
        "few_shot_replacement": False,
        "few_shot_genes": "none",
        "probe_features": "frozen",
        "evaluate_all": True,
    },
    "paper": {
        "unit": "slide",
        "splits": "published",
        "gene_selection": "cohort",
        "rna_scaling": "none",
        "pretraining_epoch": "best_on_evaluation",
        "epoch": "best_on_evaluation",
        "survival_bins": "cohort",
        "few_shot_replacement": True,
        "few_shot_genes": "all",
        "probe_features": "resampled_dropout",
        "evaluate_all": False,
    },
}
PROTOCOL_PRESETS["honest-published"] = PROTOCOL_PRESETS["honest"] | {"splits": "published"}

BASIS_KEYS = ("unit", "splits", "gene_selection", "rna_scaling")

GENERATED_SPLITS = ("random", "site_preserved")

REPAIRED = "-repaired"
"""What a protocol's ``splits`` ends with where it takes a folder's folds with every patient kept once."""

SEES_LABELS = ("rfe", "univariate_f")
"""Values of ``expression.selection.method`` that look at labels."""


def resolve(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``raw`` validated, with every default filled in and protocols and methods spelled out.

    Raises ConfigError that names each wrong key, its value and what is allowed.
    """
    schema = load_schema()
    problems = list(dict.fromkeys(describe(error) for error in _errors(schema, raw)))
    if problems:
        message = "the config does not fit its schema:\n" + "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(message)
    config = fill_defaults(schema, raw)
    config = _fill_placeholders(config, {"store": config["store"]})
    config = with_downloads(config)
    config["protocols"] = {name: _protocol(name, keys) for name, keys in config["protocols"].items()}
    config["protocols"] |= habit_protocols(config)
    config["methods"] = {name: method_of(name).resolved(name, entry or {}) for name, entry in config["methods"].items()}
    _name_gdc_sheets(config)
    _fill_gene_sets(config)
    config["adaptation"] = adaptations.filled(config, PRETRAINED_FAMILIES, HABIT)
    _check_references(config, raw)
    return config


def load_schema() -> dict[str, Any]:
    """The schema of the config, as a mapping; the settings that methods describe themselves are in it."""
    return with_settings_of_methods(read_yaml(SCHEMA))


def _errors(schema: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[ValidationError]:
    for error in sorted(Draft202012Validator(schema).iter_errors(raw), key=lambda e: list(map(str, e.path))):
        yield from _leaves(error)


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The errors that name a value: those inside an ``anyOf`` say more than the ``anyOf`` itself."""
    deeper = [e for e in error.context or [] if len(e.path) > 0 or e.validator == "additionalProperties"]
    if not deeper:
        yield error
    for child in deeper:
        yield from _leaves(child)


def describe(error: ValidationError) -> str:
    """One line for one error: the key, the value, what is allowed."""
    where = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return "; ".join(_unknown_key(where, key, known) for key in unknown)
    if error.validator == "enum":
        return f"{where}: {error.instance!r} is not one of {', '.join(map(repr, error.validator_value))}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {', '.join(missing)} missing"
    if error.validator in ("oneOf", "anyOf"):
        return f"{where}: {error.instance!r}: needs exactly one of: {'; '.join(map(_choice, error.validator_value))}"
    hint = ""
    if error.validator == "type" and _is_number(error.instance):
        hint = " (YAML takes it for text: leave quotes away; an exponent needs a point, as in 2.0e-5)"
    return f"{where}: {error.message}{hint}"


def _choice(schema: Mapping[str, Any]) -> str:
    """What one branch of a choice asks for, in words."""
    if "required" in schema:
        return ", ".join(schema["required"])
    return "empty (null)" if schema.get("type") == "null" else str(schema.get("$ref", schema)).rsplit("/", 1)[-1]


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def _unknown_key(where: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{where}: unknown key {key!r}{hint} (allowed: {', '.join(known)})"


def fill_defaults(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any] | None = None) -> Any:
    """Return ``value`` with the schema's defaults in every mapping it describes (``value`` unchanged).

    Keys come in the schema's order, so that the order in which a config names them re-runs nothing; names of
    one's own (classes, methods, ...) keep their order, which tables follow. A mapping the schema marks
    ``x-partial`` overrides another: it gets no defaults.
    """
    root = root if root is not None else schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] | {k: v for k, v in schema.items() if k != "$ref"}
    if not isinstance(value, Mapping) or schema.get("x-partial"):
        return copy.deepcopy(value)
    filled = {}
    properties = schema.get("properties", {})
    for key, child in properties.items():
        if key in value or "default" in child:
            filled[key] = fill_defaults(child, value[key] if key in value else child["default"], root)
    others = schema.get("additionalProperties")
    for key, item in value.items():
        if key not in filled:
            filled[key] = fill_defaults(others if isinstance(others, dict) else {}, item, root)
    return filled


def _fill_placeholders(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill_placeholders(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_placeholders(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
    return value


def _protocol(name: str, keys: Mapping[str, Any] | None) -> dict[str, Any]:
    keys = dict(keys or {})
    preset = keys.pop("preset", name)
    if preset not in PROTOCOL_PRESETS:
        presets = ", ".join(sorted(PROTOCOL_PRESETS))
        message = f"protocols.{name}: needs `preset:`, one of {presets} (it names none, and its own name is none)"
        raise ConfigError(message)
    claims_honest = keys.pop("claims_honest", preset.startswith("honest"))
    return {**PROTOCOL_PRESETS[preset], **keys, "preset": preset, "claims_honest": claims_honest}


HABIT = "habit--"
"""What the names of protocols that differ from the base in one published habit begin with."""


def habit_protocols(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The protocols of the optimism table: the base with one key at a time as ``against`` has it."""
    optimism, protocols = config["evaluation"]["optimism"], config["protocols"]
    if not optimism:
        return {}
    for key in ("base", "against"):
        if optimism[key] not in protocols:
            message = f"evaluation.optimism.{key}: {optimism[key]!r} is no protocol; there are {', '.join(protocols)}"
            raise ConfigError(message)
    base, against = protocols[optimism["base"]], protocols[optimism["against"]]
    keys = optimism["habits"] or [key for key in against if key not in ("preset", "claims_honest")]
    unknown = [key for key in keys if key not in against]
    if unknown:
        message = f"evaluation.optimism.habits: {', '.join(unknown)} is no key of a protocol ({', '.join(against)})"
        raise ConfigError(message)
    if strange := [name for name in optimism["methods"] if name not in config["methods"]]:
        message = f"evaluation.optimism.methods: {', '.join(strange)}: the run has {', '.join(config['methods'])}"
        raise ConfigError(message)
    return {
        f"{HABIT}{key}": {**base, key: against[key], "claims_honest": False}
        for key in keys
        if base[key] != against[key]
    }


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


def _name_gdc_sheets(config: Mapping[str, Any]) -> None:
    """Where the sheet of slides that GDC lists is written; from there on it is a sheet like any other."""
    for cohort, entry in config["cohorts"].items():
        if "gdc" in entry["slides"]:
            entry["slides"]["sheet"] = f"{config['store']}/gdc/{cohort}/slides.tsv"


def _check_references(config: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    problems = list(_reference_problems(config, raw))
    for name, entry in config["methods"].items():
        problems += _pretrain_problems(f"methods.{name}", entry)
        problems += _place_problems(config, name, entry)
    for cohort, entry in config["cohorts"].items():
        problems += _cohort_problems(config, f"cohorts.{cohort}", entry)
    problems += adaptations.problems(config, PRETRAINED_FAMILIES)
    if problems:
        raise ConfigError("the config contradicts itself:\n" + "\n".join(f"  {problem}" for problem in problems))


def _reference_problems(config: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """A reference that ``raw`` names and that is not run; a run without the default one has no verdicts."""
    named = raw.get("evaluation", {}).get("reference")
    if named is not None and named not in config["methods"]:
        yield f"evaluation.reference: {named!r} is no method of this run (there: {', '.join(config['methods'])})"


def _pretrain_problems(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    family = entry["family"]
    for key in sorted(set(entry.get("pretrain", {})) & _strange_keys(family)):
        yield f"{where}.pretrain.{key}: no setting of {family}"


def _place_problems(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Cohorts, encoders and genes that a method names for itself."""
    encoders = {encoder for cohort in config["cohorts"].values() for encoder in cohort["encoders"]}
    encoders |= set(config["features"]["encoders"])
    for key, known in (("cohorts", set(config["cohorts"])), ("encoders", encoders)):
        if unknown := [one for one in entry.get(key, []) if one not in known]:
            yield f"methods.{name}.{key}: {', '.join(unknown)}: the run has {', '.join(sorted(known))}"
    if "selection" not in entry:
        return
    if entry.get("gene_sets", "random") != "random":
        yield f"methods.{name}.selection: the genes are those of the method's gene_sets; set these instead"
    selection = selection_of(config, name)
    if selection["method"] in ("families", "pathways") and not selection["gene_sets"]:
        yield f"methods.{name}.selection: {selection['method']} needs gene_sets, a CSV with one column a set"


def _strange_keys(family: str) -> set[str]:
    """Keys of the section `pretrain` that the schema marks as another family's."""
    return {key for key, owner in _owners_of_keys().items() if owner != family}


@functools.cache
def _owners_of_keys() -> dict[str, str]:
    keys = load_schema()["$defs"]["pretrain"]["properties"]
    return {key: child["x-family"] for key, child in keys.items() if "x-family" in child}


def _cohort_problems(config: Mapping[str, Any], where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    if entry["expression"] not in config["expression"]["sources"]:
        known = ", ".join(config["expression"]["sources"]) or "none"
        yield f"{where}.expression: {entry['expression']!r} is no source in expression.sources (there: {known})"
    for encoder in entry["encoders"]:
        if encoder not in entry["features"] and encoder not in config["features"]["encoders"]:
            yield (
                f"{where}.encoders: {encoder!r} is neither in features.encoders nor, for features made elsewhere, "
                f"in {where}.features"
            )
    for name, protocol in config["protocols"].items():
        splits = protocol["splits"]
        if splits not in GENERATED_SPLITS and split_source(entry, splits) is None:
            yield (
                f"protocols.{name}.splits: {splits!r} is not one of {', '.join(GENERATED_SPLITS)} and {where}.splits "
                f"names no folder for it (there: {', '.join(entry['splits']) or 'none'}; <name>{REPAIRED} takes the "
                "folds of <name> with every patient kept once)"
            )
    for name in entry["splits"]:
        if name.endswith(REPAIRED):
            yield f"{where}.splits.{name}: {REPAIRED} at the end is for protocols, choose another name"
    for encoder in entry["encoders"]:
        patching = config["features"]["encoders"].get(encoder, {}).get("patching")
        if encoder not in entry["features"] and patching not in config["slides"]["presets"]:
            yield f"features.encoders.{encoder}.patching: {patching!r} is no preset in slides.presets"


def split_source(cohort: Mapping[str, Any], splits: str) -> str | None:
    """Folder of split files that a protocol's ``splits`` reads on a cohort, None where its folds are drawn here.

    ``published-repaired`` reads those of ``published``: make_splits mends them.
    """
    return cohort["splits"].get(splits.removesuffix(REPAIRED))


def repair_hint(splits: str) -> str:
    """How folds of a folder that share patients are mended, for messages."""
    return f"`splits: {splits}{REPAIRED}` in the protocol takes the same folds with every patient kept once"


def basis_of(protocol: Mapping[str, Any]) -> str:
    """Name of what protocols may share: unit, splits, gene selection and scaling decide the models, and so does
    ``-best`` behind them: pretrained ones are then those of the epoch that is best on evaluation patients.
    """
    name = "-".join(str(protocol[key]) for key in BASIS_KEYS)
    return f"{name}-best" if protocol["pretraining_epoch"] == "best_on_evaluation" else name


def merged_selection(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A gene selection with a method's own keys on top, those of ``rfe`` one by one."""
    merged = {**base, **own}
    return merged | {"rfe": {**base["rfe"], **own["rfe"]}} if "rfe" in own else merged


def selection_of(config: Mapping[str, Any], method: str | None = None) -> dict[str, Any]:
    """What chooses the genes of a method: ``expression.selection`` with the method's own keys on top."""
    own = config["methods"][method].get("selection", {}) if method else {}
    return merged_selection(config["expression"]["selection"], own)


def gene_variant(config: Mapping[str, Any], method: str | None) -> str:
    """``<method>/`` where a method has a gene selection of its own, else nothing: where its genes lie in ``genes/``."""
    return f"{method}/" if method and "selection" in config["methods"][method] else ""


def shots_of(config: Mapping[str, Any], name: str) -> list[int]:
    """The k-shot settings of the protocol ``name``; none for a habit's, whose table is of all data."""
    return [] if name.startswith(HABIT) else config["evaluation"]["shots"]


def methods_under(config: Mapping[str, Any], name: str) -> list[str]:
    """Methods that the protocol ``name`` is run with: all, or those of the optimism table for a habit's."""
    chosen = config["evaluation"]["optimism"]["methods"] if name.startswith(HABIT) else []
    return [method for method in config["methods"] if not chosen or method in chosen]


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


def prefixes_of(config: Mapping[str, Any], name: str, method: str) -> list[str]:
    """What the names of a method's genes and models begin with under the protocol ``name``: the folds', k-shot
    settings', inner folds'.
    """
    inner = inner_prefixes(config, config["protocols"][name]) if has_epochs(config["methods"][method]) else []
    return list(dict.fromkeys(["", few_shot_prefix(config, name, method), *inner]))


def encoders_of(config: Mapping[str, Any], cohort: str, method: str) -> list[str]:
    """Encoders a method is run with on a cohort; ``none`` for methods without slides, nothing where it is not run."""
    entry = config["methods"][method]
    if cohort not in entry.get("cohorts", config["cohorts"]):
        return []
    own = config["cohorts"][cohort]["encoders"]
    return [name for name in own if name in entry.get("encoders", own)] if "slides" in entry["inputs"] else ["none"]


def planned_models(config: Mapping[str, Any]) -> dict[str, int]:
    """How many models of each pretrained method a run makes, those of k-shot settings and inner folds among them."""
    models = {
        (method, basis_of(protocol), cohort, encoder, prefix)
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


def pretrain_settings(config: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Settings of a method's pretraining: the section ``pretrain`` with the method's own on top, as far as its
    family knows them; none for a method that is not pretrained.
    """
    entry = config["methods"][method]
    if entry["family"] not in PRETRAINED_FAMILIES:
        return {}
    strange = _strange_keys(entry["family"])
    both = {**config["pretrain"], **entry.get("pretrain", {})}
    return {key: value for key, value in both.items() if key not in strange}
