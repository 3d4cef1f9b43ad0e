"""The primary comparison: the one that a run names before its results are seen. Free of every library."""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.metric_names import DISTANCES, SUBTYPING_METRICS, SURVIVAL_METRICS, task_of
from mirrorflow.config.protocols import SINGLE_CHANGE
from mirrorflow.config.queries import encoders_of

WHERE = "evaluation.primary"


def primary_place(config: Mapping[str, Any]) -> dict[str, str]:
    """protocol, cohort, encoder, setting, method and metric of the one cell that is held against the reference; empty
    where the config names none. What it leaves out, the run has one of (:func:`primary_problems`).
    """
    named = config["evaluation"].get("primary")
    if not named:
        return {}
    place = {key: str(named.get(key, options[0])) for key, options in _options(config, named)}
    return place | {key: str(named[key]) for key in ("method", "metric")}


def primary_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What keeps ``evaluation.primary`` from naming exactly one comparison of the run."""
    named = config["evaluation"].get("primary")
    if not named:
        return
    method, metric, reference = named["method"], named["metric"], config["evaluation"]["reference"]
    if method not in config["methods"]:
        yield f"{WHERE}.method: {method!r} is no method of this run (there: {', '.join(config['methods'])})"
        return
    if reference not in config["methods"] or method == reference:
        why = "is the reference itself" if method == reference else f"needs the reference {reference!r} in the run"
        yield f"{WHERE}.method: {method!r} {why}; name another method, or another evaluation.reference"
    yield from _metric_problems(config, method, metric)
    for key, options in _options(config, named):
        yield from _option_problems(key, named.get(key), options)


def _metric_problems(config: Mapping[str, Any], method: str, metric: str) -> Iterator[str]:
    task = task_of(metric)
    if not task or metric in DISTANCES:
        known = ", ".join(one for one in (*SUBTYPING_METRICS, *SURVIVAL_METRICS) if one not in DISTANCES)
        yield f"{WHERE}.metric: {metric!r} has no verdict (there: {known})"
    elif task not in config["evaluation"]["tasks"] or task not in config["methods"][method]["tasks"]:
        yield f"{WHERE}.metric: {metric!r} is of {task}, which {method} is not run on"


def _option_problems(key: str, value: str | None, options: list[str]) -> Iterator[str]:
    if value is None and len(options) > 1:
        yield f"{WHERE}.{key}: the run has {', '.join(options)}; name the one that is meant"
    elif value is not None and value not in options:
        yield f"{WHERE}.{key}: {value!r} is not there for this comparison (there: {', '.join(options) or 'none'})"
    elif not options:
        yield f"{WHERE}.{key}: the run has none"


def _options(config: Mapping[str, Any], named: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Keys that may be left out, and what the run has of each; a k-shot setting is meant only where it is named."""
    method = named["method"]
    cohorts = [name for name in config["cohorts"] if encoders_of(config, name, method)]
    cohort = named.get("cohort", next(iter(cohorts), ""))
    shots = [f"{k}-shot" for k in config["evaluation"]["shots"]] if "setting" in named else []
    return [
        ("protocol", [name for name in config["protocols"] if not name.startswith(SINGLE_CHANGE)]),
        ("cohort", cohorts),
        ("encoder", encoders_of(config, cohort, method) if cohort in cohorts else [named.get("encoder", "none")]),
        ("setting", ["all", *shots]),
    ]
