"""How to make the same again, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mirrorflow.report.blocks import Block, Code, Details, Section, Table, Text, cells


@dataclass(frozen=True)
class Origin:
    """What made this run: command, resolved config (YAML), versions of packages, the code's commit ("" if unknown)."""

    command: str
    config_yaml: str
    versions: Mapping[str, str]
    commit: str


def reproduce_section(origin: Origin) -> Section:
    """Command, commit, config and versions."""
    commit = origin.commit or "unknown (no git checkout)"
    rows = [cells(name, version) for name, version in origin.versions.items()]
    caption = f"Versions of what computed this page, n = {len(rows)}, the same for every protocol. Rule make_report."
    blocks: list[Block] = [
        Text("On the same machine and thread count the same config gives the same tables, gene lists and predictions."),
        Code(origin.command),
        Text(f"Code: commit {commit}."),
        Details("The config, resolved: every default and protocol spelled out", (Code(origin.config_yaml),)),
        Details("Versions", (Table(caption, ("package", "version"), rows),)),
    ]
    return Section("reproduce", "How to reproduce this", blocks)


@dataclass(frozen=True)
class RuleForecast:
    """Hours of a rule in the full TCGA run: ``jobs`` of this run's mean length, scaled by what they grow with."""

    rule: str
    on_gpu: bool
    jobs: int
    grows_with: str
    hours: float


def cost_section(benchmarks: Mapping[str, Sequence[pd.DataFrame]], forecast: Sequence[RuleForecast]) -> Section:
    """Time and memory by rule, and what the full TCGA run would cost at this speed.

    ``benchmarks``: rule -> Snakemake's benchmark rows of its jobs.
    """
    rows = [_rule_cost(rule, pd.concat(frames)) for rule, frames in benchmarks.items()]
    rows.sort(key=lambda row: -row[0])
    total = sum(seconds for seconds, _ in rows)
    caption = (
        f"Wall-clock seconds by rule, n = {sum(len(frames) for frames in benchmarks.values())} jobs of all cohorts and "
        f"protocols, {total:.0f} s in sum (jobs that ran side by side count each). A job that found its work done by "
        "an earlier run shows the time of looking. From the rules' benchmark files; this page's own rule is not in it."
    )
    header = ("rule", "jobs", "seconds", "longest job (s)", "CPU seconds", "peak memory (MB)")
    table = Table(caption, header, [cells(*row) for _, row in rows], frozenset(range(1, len(header))))
    return Section("cost", "What it cost", (table, _forecast_table(forecast)) if forecast else (table,))


def _forecast_table(forecast: Sequence[RuleForecast]) -> Table:
    gpu, cpu = (sum(row.hours for row in forecast if row.on_gpu is on_gpu) for on_gpu in (True, False))
    caption = (
        f"The full TCGA run (config/tcga.yaml: 3,600 slides, 2 encoders, 4 cohorts, 5 folds, 3 protocols) at this "
        f"run's speed: {gpu:,.0f} hours of jobs that ask for a GPU (here they ran on what this machine has) and "
        f"{cpu:,.0f} hours of others, one after another; n = {sum(row.jobs for row in forecast)} jobs. Each is this "
        "run's mean time a job, in proportion to what it grows with. Networks, bags and gene matrices of this run's "
        "size are assumed: smaller ones than published make it far too low. Downloads and rules that this run did "
        "not need are not in it. Rule make_report."
    )
    header = ("rule", "asks for", "jobs", "grows with", "hours")
    rows = [
        cells(row.rule, "GPU" if row.on_gpu else "CPU", row.jobs, row.grows_with, f"{row.hours:,.2f}")
        for row in sorted(forecast, key=lambda row: -row.hours)
    ]
    return Table(caption, header, rows, frozenset({2, 4}))


def _rule_cost(rule: str, jobs: pd.DataFrame) -> tuple[float, list[object]]:
    numbers = jobs.reindex(columns=["s", "cpu_time", "max_rss"]).apply(pd.to_numeric, errors="coerce")
    seconds = float(numbers["s"].sum())
    row = [rule, len(jobs), f"{seconds:.1f}", f"{numbers['s'].max():.1f}"]
    memory = numbers["max_rss"].max()
    return seconds, [*row, f"{numbers['cpu_time'].sum():.1f}", "" if pd.isna(memory) else f"{memory:.0f}"]
