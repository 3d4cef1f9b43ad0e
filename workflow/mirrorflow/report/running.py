"""How to make the same again, and what it cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mirrorflow.report.blocks import Block, Cell, Code, Details, Section, Table, Text, cells


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
    """Hours of a rule in the full TCGA run: ``jobs`` of this run's mean length, scaled by what they grow with.

    cpu_hours: of all cores together, as its jobs measured them; NaN where none did. peak_mb: of this run's largest job.
    """

    rule: str
    on_gpu: bool
    jobs: int
    grows_with: str
    hours: float
    cpu_hours: float = math.nan
    peak_mb: float = math.nan


def cost_section(benchmarks: Mapping[str, Sequence[pd.DataFrame]], forecast: Sequence[RuleForecast]) -> Section:
    """Time and memory by rule, and what the full TCGA run would cost at this speed.

    ``benchmarks``: rule -> rows of its jobs with s, cpu_time and max_rss; NaN where a job did not measure itself.
    """
    rows = [_rule_cost(rule, pd.concat(frames)) for rule, frames in benchmarks.items()]
    rows.sort(key=lambda row: -row[0])
    total = sum(seconds for seconds, _ in rows)
    caption = (
        f"Wall-clock seconds by rule, n = {sum(len(frames) for frames in benchmarks.values())} jobs (of a job that "
        f"serves many cases, these) of all cohorts and protocols, {total:.0f} s in sum (those that ran side by side "
        "count each). One that found its work done shows what that took, where the job that did it measured it. CPU "
        "seconds and peak memory are of all processes of a job, as it measured them itself. Jobs of versions that did "
        "not are left out of these two: a cell says of how many it is. This page's own rule is not in it."
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
        "size are assumed: smaller ones than published make it far too low. Peak memory is that of the largest job "
        "here, not scaled. Downloads and rules that this run did not need are not in it. Rule make_report."
    )
    header = ("rule", "asks for", "jobs", "grows with", "hours", "CPU hours", "peak memory here (MB)")
    rows = [_forecast_row(row) for row in sorted(forecast, key=lambda row: -row.hours)]
    return Table(caption, header, rows, frozenset({2, 4, 5, 6}))


def _forecast_row(row: RuleForecast) -> list[Cell]:
    numbers = (f"{row.hours:,.2f}", _shown(row.cpu_hours, ",.2f"), _shown(row.peak_mb, ".0f"))
    return cells(row.rule, "GPU" if row.on_gpu else "CPU", row.jobs, row.grows_with, *numbers)


def _shown(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _rule_cost(rule: str, jobs: pd.DataFrame) -> tuple[float, list[object]]:
    numbers = jobs.reindex(columns=["s", "cpu_time", "max_rss"]).apply(pd.to_numeric, errors="coerce")
    seconds, measured = float(numbers["s"].sum()), int(numbers["cpu_time"].notna().sum())
    cpu, memory = "", ""
    if measured:
        some = "" if measured == len(jobs) else f" ({measured} of {len(jobs)} jobs)"
        cpu, memory = f"{numbers['cpu_time'].sum():.1f}{some}", f"{numbers['max_rss'].max():.0f}{some}"
    return seconds, [rule, len(jobs), f"{seconds:.1f}", f"{numbers['s'].max():.1f}", cpu, memory]
