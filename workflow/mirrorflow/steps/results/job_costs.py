"""What the jobs of a run cost, as Snakemake and they themselves measured it."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mirrorflow.plan.job_paths import JobBenchmark


class Measured(NamedTuple):
    """Seconds, CPU seconds and peak memory (MB of 2^20 bytes) as a job, or a case of one, measured them."""

    seconds: float = math.nan
    cpu: float = math.nan
    memory: float = math.nan
    is_case: bool = False

    @classmethod
    def read(cls, record: Path) -> "Measured":
        """What a record says; NaN where there is no whole one."""
        try:
            used = json.loads(record.read_text(encoding="utf-8"))
            seconds, cpu, memory = (float(used[key]) for key in ("seconds", "cpu_seconds", "peak_mb"))
            return cls(seconds, cpu, memory, is_case="case" in used)
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


def read_benchmarks(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """What jobs cost, by rule: columns s, cpu_time (seconds) and max_rss (MB of 2^20 bytes).

    ``folder`` holds Snakemake's benchmark files, whose seconds are right; CPU seconds and memory are the job's own
    measurements, NaN for jobs that made none (of earlier versions). A job that served many cases is a row a case.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        benchmark = JobBenchmark(str(folder.parent), path.relative_to(folder).with_suffix("").as_posix())
        if benchmark.rule != "make_report":
            found.setdefault(benchmark.rule, []).extend(_rows(path, benchmark, folder.parent / "logs"))
    return {rule: frames for rule, frames in found.items() if frames}


def _rows(path: Path, benchmark: JobBenchmark, logs: Path) -> list[pd.DataFrame]:
    """Of a job's file: its row, or one for each case that it served.

    Whoever made a case last counts: the job of its own, or the one of all, whose other file is of an earlier run.
    """
    own = Measured.read(benchmark.used.path)
    if benchmark.job != benchmark.rule:
        return [] if own.is_case else [_of_job(path, own)]
    records = sorted((logs / benchmark.rule).rglob("*.used.json"))
    cases = [one for one in map(Measured.read, records) if one.is_case]
    return [_of_case(one) for one in cases] if records else [_of_job(path, own)]


def _of_job(path: Path, own: Measured) -> pd.DataFrame:
    """The file's seconds are of the last run; a job that found its work done says what that had taken."""
    rows = pd.read_csv(path, sep="\t", na_values=["-"]).assign(cpu_time=own.cpu, max_rss=own.memory)
    return rows if math.isnan(own.seconds) else rows.assign(s=rows["s"].clip(lower=own.seconds))


def _of_case(one: Measured) -> pd.DataFrame:
    return pd.DataFrame({"s": [one.seconds], "cpu_time": [one.cpu], "max_rss": [one.memory]})
