"""The head of the page: what this run is, and what its numbers are not."""

from collections.abc import Mapping, Sequence
from typing import Any

from mirrorflow.config.modalities import left_out_rows
from mirrorflow.report.blocks import Cell, Section, Table, badge_cells, cells, counted, some
from mirrorflow.report.protocols import level_counts


def notices(config: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know before any number: simulated data, random weights, protocols with leaks."""
    said = []
    simulated = sorted(name for name, entry in config["cohorts"].items() if entry["simulated"])
    random = sorted(name for name in encoders_in(config) if has_random_weights(config, name))
    what = []
    if simulated:
        what.append(f"simulated data (cohort {some(simulated)})")
    if random:
        what.append(f"random weights (encoder {some(random)})")
    if what:
        text = " and ".join(what)
        said.append(
            f"{text[0].upper()}{text[1:]}: nothing here is a finding, and nothing is compared with a paper "
            "(comparable = no)."
        )
    leaking = [record for record in audits if record["leaks"]]
    stopped = sorted({str(one["protocol"]) for one in leaking if one.get("claims_honest") and config["strict"]})
    if stopped:
        said.append(
            f"Protocol {some(stopped)} claims to be honest and has a leak (see Audits): its numbers are withheld, and "
            "the run counts as failed, until the leak is fixed or the claim dropped."
        )
    leaky = sorted({str(record["protocol"]) for record in leaking} - set(stopped))
    if leaky:
        said.append(
            f"Protocol {some(leaky)} lets evaluation data into what is fitted or chosen (see Audits): its numbers "
            "are better than they would be on new patients."
        )
    return said


def encoders_in(config: Mapping[str, Any]) -> set[str]:
    """Encoders that any cohort of the run uses."""
    return {encoder for entry in config["cohorts"].values() for encoder in entry["encoders"]}


def has_random_weights(config: Mapping[str, Any], encoder: str) -> bool:
    """By its settings, or by its name when the features were made elsewhere (random is part of the name)."""
    entry = config["features"]["encoders"].get(encoder)
    return entry["weights"] == "random" if entry else "random" in encoder.split("-")


def glance_section(
    config: Mapping[str, Any],
    sizes: Mapping[str, tuple[int, int]],
    audits: Sequence[Mapping[str, Any]],
) -> Section:
    """The run in two small tables. ``sizes``: cohort -> patients, slides."""
    cohorts = [
        cells(
            entry.get("title", name),
            *sizes.get(name, ("", "")),
            ", ".join(entry["encoders"]) or "none",
            entry.get("expression", "none"),
            Cell("simulated", badge="warning") if entry["simulated"] else "real",
        )
        for name, entry in config["cohorts"].items()
    ]
    header = ("cohort", "patients", "slides", "encoders", "expression", "data")
    caption = (
        "Cohorts of this run: patients with slides and expression, as far as the cohort has them (rule build_cohort); "
        "the same for all protocols."
    )
    first = Table(caption, header, cohorts, frozenset({1, 2}))
    found = {name: level_counts([r for r in audits if r["protocol"] == name]) for name in config["protocols"]}
    rows = [
        [Cell(name), Cell("yes" if entry["claims_honest"] else "no"), _badges(found[name])]
        for name, entry in config["protocols"].items()
    ]
    caption = (
        f"Protocols, all cohorts together (rule audit). {counted(config['splits']['folds'], 'fold')}, "
        f"seed {', '.join(map(str, config['seeds']))}; methods: {', '.join(config['methods'])}."
    )
    second = Table(caption, ("protocol", "claims to be honest", "audit"), rows)
    return Section("glance", "At a glance", (first, second, *_left_out(config)))


def _left_out(config: Mapping[str, Any]) -> list[Table]:
    """Methods that a cohort lacks an input of, with the reason; no table without any."""
    rows = [cells(row["cohort"], row["method"], row["why"]) for row in left_out_rows(config)]
    caption = (
        f"Left out, n = {len(rows)}, under every protocol: methods that see what a cohort does not have. Gene steps "
        "are left out of a cohort without expression, slides and features of one without slides."
    )
    return [Table(caption, ("cohort", "method", "why"), rows)] if rows else []


def _badges(counts: Mapping[str, int]) -> Cell:
    """The gravest badge, the others as text below it."""
    first, *others = badge_cells(counts)
    return Cell(first.text, below=", ".join(cell.text for cell in others), badge=first.badge)
