"""What a cohort has, held against what a method declares as its inputs: what cannot run is left out, with the reason.

The one place where it is decided: encoders of a method (:func:`mirrorflow.config.queries.encoders_of`), genes, tables
and report ask here. Clinical columns and sites are of the sheet of patients, which every cohort has.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

SLIDES, RNA = "slides", "rna"
KEYS = {SLIDES: "slides", RNA: "expression"}
"""Modality -> the key of a cohort's entry that brings it."""
NOUNS = {SLIDES: "slides and features", RNA: "expression"}
COMMON, AVAILABLE = "common", "available"
"""``train_on`` of a cohort: the patients who have all of its modalities, or each method those who have what it sees."""
FALLBACKS = {SLIDES: "linear", RNA: "rna-linear"}
"""Modality of a cohort that has no other -> the reference there, where `evaluation.reference` is left out."""


@dataclass(frozen=True)
class LeftOut:
    """A method that a cohort cannot be run with, and why."""

    cohort: str
    method: str
    why: str


def modalities_of(cohort: Mapping[str, Any]) -> list[str]:
    """``slides``, ``rna``: those that a cohort's entry brings."""
    return [name for name, key in KEYS.items() if key in cohort]


def has_rna(cohort: Mapping[str, Any]) -> bool:
    """Whether a cohort's entry names an expression matrix."""
    return KEYS[RNA] in cohort


def lacking(cohort: Mapping[str, Any], inputs: Collection[str]) -> list[str]:
    """Modalities among a method's ``inputs`` that a cohort's entry does not bring."""
    there = modalities_of(cohort)
    return [name for name in KEYS if name in inputs and name not in there]


def takes_available(cohort: Mapping[str, Any]) -> bool:
    """Whether each method takes the patients who have what it sees; where nothing is missing there is no difference."""
    return cohort.get("train_on", COMMON) == AVAILABLE and len(modalities_of(cohort)) == len(KEYS)


def names_of_slides(cohort: Mapping[str, Any]) -> bool:
    """Whether the sheet of slides says who may be in a cohort; else the sheet of patients does."""
    return KEYS[SLIDES] in cohort and not takes_available(cohort)


def left_out(config: Mapping[str, Any]) -> Iterator[LeftOut]:
    """Methods of a resolved config that a cohort lacks an input of."""
    for cohort, entry in config["cohorts"].items():
        for method, settings in config["methods"].items():
            missing = lacking(entry, settings["inputs"])
            if missing and cohort in settings.get("cohorts", config["cohorts"]):
                keys = " and ".join(f"`{KEYS[name]}:`" for name in missing)
                nouns = " and ".join(NOUNS[name] for name in missing)
                yield LeftOut(cohort, method, f"sees {nouns}, and the cohort names no {keys}")


def left_out_lines(config: Mapping[str, Any]) -> list[str]:
    """:func:`left_out` in words, a line a cohort and reason."""
    methods: dict[tuple[str, str], list[str]] = {}
    for one in left_out(config):
        methods.setdefault((one.cohort, one.why), []).append(one.method)
    lines = [f"{cohort}: left out {', '.join(names)}: {why}" for (cohort, why), names in methods.items()]
    named = config["evaluation"]["reference"]
    return lines + [_reference_line(config, cohort) for (cohort, _), names in methods.items() if named in names]


def _reference_line(config: Mapping[str, Any], cohort: str) -> str:
    named, found = config["evaluation"]["reference"], reference_of(config, cohort)
    lost = f"evaluation.reference, {named}, is left out there"
    if found:
        return f"{cohort}: verdicts are against {found}: {lost}"
    instead = _fallback(config["cohorts"][cohort])
    return f"WARNING: {cohort}: no verdicts: {lost}; add `{instead}: {{}}` to methods, or name another reference"


def reference_of(config: Mapping[str, Any], cohort: str) -> str:
    """The method that others are held against on a cohort: `evaluation.reference`, or where the cohort lacks what that
    sees the linear method of what it has (:data:`FALLBACKS`); empty where the run has neither.
    """
    named = str(config["evaluation"]["reference"])
    if not any((one.cohort, one.method) == (cohort, named) for one in left_out(config)):
        return named
    instead = _fallback(config["cohorts"][cohort])
    entry = config["methods"].get(instead)
    return instead if entry is not None and cohort in entry.get("cohorts", config["cohorts"]) else ""


def _fallback(cohort: Mapping[str, Any]) -> str:
    return FALLBACKS[modalities_of(cohort)[0]]


def left_out_rows(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """:func:`left_out` as rows cohort, method, why."""
    return [asdict(one) for one in left_out(config)]


def modality_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Cohorts with neither modality, encoders without slides, pairs of adaptation whose cohorts lack one."""
    for name, entry in config["cohorts"].items():
        where = f"cohorts.{name}"
        if not modalities_of(entry):
            yield f"{where}: neither `slides:` nor `expression:`; a cohort needs one of them at least"
        if KEYS[SLIDES] in entry and not entry["encoders"]:
            yield f"{where}: encoders missing; name those of the slides' features, or leave `slides:` out"
        if KEYS[SLIDES] not in entry and (entry["encoders"] or entry["features"]):
            key = "encoders" if entry["encoders"] else "features"
            yield f"{where}.{key}: without `slides:` there is nothing to see"
        if entry.get("train_on") == AVAILABLE and len(modalities_of(entry)) < len(KEYS):
            yield f"{where}.train_on: available: all patients of a cohort with one modality have it; leave it out"
    for source, entry in config["adaptation"].items():
        for name in (source, *entry["targets"]):
            if missing := lacking(config["cohorts"].get(name, dict.fromkeys(KEYS.values())), tuple(KEYS)):
                yield f"adaptation.{source}: {name} has no {' and '.join(NOUNS[one] for one in missing)}; take it out"
    runs = {
        name
        for name, one in config["methods"].items()
        for entry in config["cohorts"].values()
        if not lacking(entry, one["inputs"])
    }
    if not runs:
        yield f"methods: none of {', '.join(config['methods'])} can be run with what the cohorts have; add one that can"
