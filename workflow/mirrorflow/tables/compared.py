"""What of a config decides whether its cells may stand beside published ones; free of pandas.

The workflow hands this to rule make_results, so that a change of these settings makes the table again.
"""

from collections.abc import Mapping
from typing import Any

from mirrorflow.config.adaptation import adapted_cohorts
from mirrorflow.config.queries import endpoint_of, selection_of

OWN_SHEET = "a sheet of one's own"
GIVEN, OPEN_LIST = "a file given", "the open list of drivers"
"""Where curated genes come from: the cohort's ``census``, else resources/drivers.tsv."""


def settings_compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Sections run, slides, probe, cohorts, encoders, protocols and methods of a resolved config.

    Files of data sets are given by the names of these (resources/sources.tsv), other files by their paths. An adapted
    cohort names its target and its source.
    """
    names = {entry["path"]: name for name, entry in config["downloads"].items()}
    pairs = {name: {key: pair[key] for key in ("target", "source")} for name, pair in adapted_cohorts(config).items()}
    return {
        "run": {
            "seeds": config["seeds"],
            "number of folds": config["splits"]["folds"],
            "expression clip": config["expression"]["clip"],
        },
        "slides": {key: config["slides"][key] for key in ("scale", "segmentation")},
        "probe": config["probe"],
        "cohorts": {name: _cohort(config, entry, names) for name, entry in config["cohorts"].items()} | pairs,
        "encoders": {name: _encoder(config, entry) for name, entry in config["features"]["encoders"].items()},
        "protocols": config["protocols"],
        "methods": {name: _method(config, name, names) for name in config["methods"]},
    }


DSS = "DSS"
"""The outcome of TTA's tables."""


def disease_specific(compared: Mapping[str, Any]) -> frozenset[str]:
    """Cohorts whose outcome is disease-specific survival, an adapted one where its target's is."""
    cohorts = compared["cohorts"]
    whose = {name: cohorts[entry.get("target", name)] for name, entry in cohorts.items()}
    return frozenset(name for name, entry in whose.items() if entry.get("settings", {}).get("outcome") == DSS)


def _cohort(config: Mapping[str, Any], entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    source, clinical = _source(config, entry), entry["clinical"]
    own = "sheet" in clinical

    def named(path: str | None) -> str | None:
        return None if path is None else names.get(path, path)

    return {
        "simulated": entry["simulated"],
        "made elsewhere": sorted(entry["features"]),
        "splits": {name: names.get(folder, folder) for name, folder in entry["splits"].items()},
        "settings": {
            "expression": named(source.get("matrix")),
            "probe map": named(source.get("probemap")),
            "expression scaled upstream": source.get("scaled_upstream", False),
            "expression transform": source.get("transform", "none"),
            "patients trained on": entry.get("train_on", "common"),
            "kind of slides": entry.get("slides", {}).get("gdc", {}).get("experimental_strategy", OWN_SHEET),
            "clinical source": entry.get("clinical_source", OWN_SHEET if own else "xena"),
            "outcome": endpoint_of(entry) or (OWN_SHEET if own else clinical["outcome"]),
            "number of classes": len(set(entry["classes"].values())) or None,
            "census": GIVEN if "census" in entry else OPEN_LIST,
        },
    }


def _source(config: Mapping[str, Any], entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of a cohort's expression; empty where it has none."""
    return config["expression"]["sources"][entry["expression"]] if "expression" in entry else {}


NOT_SAID = ("options", "pooling", "mean", "std")
"""Keys of an encoder that are absent where the model's own values hold."""


def _encoder(config: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder's entry, its patch preset spelled out; the preset's name decides nothing."""
    return {**dict.fromkeys(NOT_SAID), **entry, "patch": config["slides"]["presets"].get(entry["patching"], {})}


def _method(config: Mapping[str, Any], name: str, names: Mapping[str, str]) -> dict[str, Any]:
    """A method's entry with its pretraining and gene selection as resolved."""
    entry, selection = config["methods"][name], selection_of(config, name)
    method = {**entry, "pretrain": entry.get("pretrain", {}), "selection": _named_sets(selection, names)}
    return _named_sets(method, names)


def _named_sets(entry: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {**entry, "gene_sets": names.get(entry["gene_sets"], entry["gene_sets"])} if "gene_sets" in entry else entry
