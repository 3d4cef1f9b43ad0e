"""The config's section ``adaptation``: which pretrained encoders are carried over to which cohorts.

A pair is a cohort of its own in every path and table, ``<target>--from--<source>``; its patients, folds and genes are
the target's. Free of torch and pandas, as the config is.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

ADAPTED = re.compile(r"(?P<target>.+)--from--(?P<source>.+)")
"""Name of a pair."""


def adapted_name(target: str, source: str) -> str:
    """``nsclc--from--brca``."""
    return f"{target}--from--{source}"


def is_adapted(cohort: str) -> bool:
    """Whether a name is that of a pair."""
    return ADAPTED.fullmatch(cohort) is not None


def adapted_cohorts(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every pair by its name: target, source, and the source's entry as :func:`filled` has it."""
    return {
        adapted_name(target, source): {"target": target, "source": source, **entry}
        for source, entry in config["adaptation"].items()
        for target in entry["targets"]
    }


def filled(config: Mapping[str, Any], pretrained: Collection[str], single_change: str) -> dict[str, dict[str, Any]]:
    """The section with its empty lists spelled out: every pretrained method, every encoder that source and targets
    share, every protocol but those of single changes (whose names begin with ``single_change``).

    pretrained: families that are pretrained. Unknown cohorts are left for :func:`problems` to name.
    """
    whole = {}
    for source, entry in config["adaptation"].items():
        cohorts = [config["cohorts"][name] for name in (source, *entry["targets"]) if name in config["cohorts"]]
        first, *others = [one["encoders"] for one in cohorts] or [[]]
        methods = [name for name, method in config["methods"].items() if _can_be(method, source, pretrained)]
        protocols = [name for name in config["protocols"] if not name.startswith(single_change)]
        whole[source] = {
            **entry,
            "methods": entry["methods"] or methods,
            "encoders": entry["encoders"] or [name for name in first if all(name in other for other in others)],
            "protocols": entry["protocols"] or protocols,
        }
    return whole


def _can_be(method: Mapping[str, Any], source: str, pretrained: Collection[str]) -> bool:
    """Whether a method is pretrained on ``source`` with the run's genes."""
    return method["family"] in pretrained and "selection" not in method and source in method.get("cohorts", [source])


def problems(config: Mapping[str, Any], pretrained: Collection[str]) -> Iterator[str]:
    """What is impossible in the section (filled), a line each."""
    cohorts = config["cohorts"]
    yield from (
        f"cohorts.{name}: names with --from-- are those of adaptation; choose another"
        for name in cohorts
        if config["adaptation"] and is_adapted(name)
    )
    for source, entry in config["adaptation"].items():
        where = f"adaptation.{source}"
        if source not in cohorts:
            yield f"{where}: no cohort {source!r} to take encoders from (there: {', '.join(cohorts)})"
        for target in entry["targets"]:
            if target not in cohorts:
                yield f"{where}.targets: {target!r} is no cohort (there: {', '.join(cohorts)})"
            if target == source:
                yield f"{where}.targets: {target!r} is the source itself; name other cohorts"
        yield from _encoder_problems(config, where, source, entry)
        for protocol in entry["protocols"]:
            if protocol not in config["protocols"]:
                yield f"{where}.protocols: {protocol!r} is no protocol (there: {', '.join(config['protocols'])})"
        yield from _method_problems(config, where, entry, pretrained)


def _encoder_problems(config: Mapping[str, Any], where: str, source: str, entry: Mapping[str, Any]) -> Iterator[str]:
    cohorts = [name for name in (source, *entry["targets"]) if name in config["cohorts"]]
    if not entry["encoders"]:
        yield f"{where}.encoders: {', '.join(cohorts)} share no encoder; list one that each of them has"
    for encoder in entry["encoders"]:
        lacking = [name for name in cohorts if encoder not in config["cohorts"][name]["encoders"]]
        if lacking:
            yield f"{where}.encoders: {encoder!r} is no encoder of {', '.join(lacking)}"


def _method_problems(
    config: Mapping[str, Any], where: str, entry: Mapping[str, Any], pretrained: Collection[str]
) -> Iterator[str]:
    known, source = config["methods"], where.partition(".")[2]
    able = [name for name, method in known.items() if method["family"] in pretrained]
    if not entry["methods"]:
        yield f"{where}.methods: this run pretrains nothing; add one of {', '.join(pretrained)} under `methods`"
    for name in entry["methods"]:
        if name not in able:
            what = "is not pretrained: it has no encoders to freeze" if name in known else "is no method of this run"
            yield f"{where}.methods: {name!r} {what} (pretrained here: {', '.join(able) or 'none'})"
        elif "selection" in known[name]:
            yield f"{where}.methods: {name!r} has a gene selection of its own; adapt the method without one"
        elif source not in known[name].get("cohorts", [source]):
            yield f"{where}.methods: {name!r} is not run on {source} (methods.{name}.cohorts)"
        elif strange := sorted(set(entry["encoders"]) - set(known[name].get("encoders", entry["encoders"]))):
            yield f"{where}.methods: {name!r} is not run with {', '.join(strange)} (methods.{name}.encoders)"
