"""Which rules run again after which change (config/reruns.md), asked of the workflow itself.

Every key of the config is changed to another valid value, every version in ``versions.py`` is raised, the sheet
of slides is edited; each time Snakemake plans the jobs anew, and those whose inputs or params differ, and those
that follow them, are what runs again.
"""

import contextlib
import functools
import inspect
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import snakemake.api
import yaml

from config_changes import Change, all_changes
from mirrorflow.config import versions
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import load_schema
from mirrorflow.errors import ConfigError
from mirrorflow.plan.jobs import Job, changed_jobs, following, plan_jobs
from rerun_example import SLIDES, example_config, write_example, write_slides

REPORT = "make_report"
"""Prints the config and everything else: it follows every change and is left out of the tables."""

HEAD = """# What runs again

Written from the workflow itself by `make reference`; a test holds the two equal. Each key is changed to another
valid value, and Snakemake is asked which jobs' inputs or params differ. *Changed* are rules that run again because of
the value; *after them* are those that read what they write. A rule that is in neither column is not started. Rules
run for the cohorts, protocols, encoders or methods concerned only. `make_report` runs again after every change (it
prints the config) and is left out, as are rules that run on request only.

A job that starts again keeps what is still valid: slides, epochs, embeddings, gene lists and predictions are known by
a digest of what they were made from. Files in the store with other settings stop the run and are never overwritten.
"""

MADE_FROM = "<!-- made from {} -->"
"""Last line of the page."""

EDITS: dict[str, Callable[[list[tuple[str, str]]], list[tuple[str, str]]]] = {
    "a slide of a known patient is added": lambda slides: [*slides, ("slide-new", slides[0][1])],
    "a slide of a new patient is added": lambda slides: [*slides, ("slide-new", "patient-new")],
    "a slide is removed (its patient has others)": lambda slides: slides[1:],
    "the rows are sorted otherwise": lambda slides: slides[::-1],
    "its date is new": lambda slides: slides,
}
"""What can happen to a sheet of slides of one's own."""


@dataclass
class Outcome:
    """Rules that a change starts, and those that follow."""

    changed: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)

    def add(self, before: Collection[Job], after: Collection[Job]) -> None:
        """Count in the difference between two plans."""
        jobs = changed_jobs(before, after)
        self.changed |= {job.rule for job in jobs}
        self.after |= {job.rule for job in following(jobs)}


class Example:
    """The example's plan, and its plans after changes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.raw = folder, example_config()
        write_example(folder)
        self.before = self.plan(self.raw)
        self.rules = list(dict.fromkeys(job.rule for job in self.before))

    def plan(self, raw: dict[str, Any]) -> list[Job]:
        """The jobs of a config, in the order of the chain."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
        # Snakemake looks at the parameters of a function each time that it calls it: a fifth of planning. And it reads
        # the rules' files anew each time, which is another tenth.
        with (
            patch("inspect.signature", functools.cache(inspect.signature)),
            patch.object(snakemake.workflow, "parse", _parsed_once),
        ):
            return plan_jobs([path], self.folder)

    def keys(self) -> list[str]:
        """Every key of the config."""
        return list(dict.fromkeys(change.key for change in all_changes(load_schema(), resolve(self.raw))))

    def changes_of(self, keys: Collection[str]) -> dict[str, list[Change]]:
        """The changes of keys at the places where they are valid."""
        changes = [change for change in all_changes(load_schema(), resolve(self.raw)) if change.key in set(keys)]
        valid = [change for change in changes if self._is_config(change.apply(self.raw))]
        return {key: [change for change in valid if change.key == key] for key in keys}

    def _is_config(self, raw: dict[str, Any]) -> bool:
        try:
            resolve(raw)
        except ConfigError:
            return False
        return True

    def after_change(self, changes: Sequence[Change]) -> Outcome:
        """What runs again after any of ``changes``."""
        if not changes:
            message = "a value that is valid nowhere in the example; name another in config_changes.OTHER_VALUES"
            raise ValueError(message)
        outcome = Outcome()
        for raw, together in self._configs(changes):
            with self._files_named({change.value for change in together if isinstance(change.value, str)}):
                outcome.add(self.before, self.plan(raw))
        return outcome

    def _configs(self, changes: Sequence[Change]) -> Iterator[tuple[dict[str, Any], Sequence[Change]]]:
        """Changed configs: with a change of every cohort at once, where that is valid; of anything else one by one."""
        together = [change for change in changes if change.path[0] == "cohorts"]
        raw = self.raw
        for change in together:
            raw = change.apply(raw)
        if len(together) < 2 or not self._is_config(raw):
            together = []
        else:
            yield raw, together
        for change in changes:
            if change not in together:
                yield change.apply(self.raw), [change]

    @contextlib.contextmanager
    def _files_named(self, values: Collection[str]) -> Iterator[None]:
        """Paths that changes name are there, empty, as long as they are asked about."""
        paths = [path for path in (self.folder / value for value in values) if path.suffix]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        yield
        for path in paths:
            path.unlink()

    def after_version(self, name: str) -> Outcome:
        """What runs again after a number of versions.py was raised."""
        number = getattr(versions, name)
        outcome = Outcome()
        setattr(versions, name, number + 100)
        try:
            outcome.add(self.before, self.plan(self.raw))
        finally:
            setattr(versions, name, number)
        return outcome

    def after_edit(self, edit: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> list[Job]:
        """Jobs that an edited sheet of slides starts for themselves."""
        write_slides(self.folder, edit(list(SLIDES)))
        date = (self.folder / "slides.tsv").stat().st_mtime_ns + 1_000_000_000
        os.utime(self.folder / "slides.tsv", ns=(date, date))
        jobs = changed_jobs(self.before, self.plan(self.raw))
        write_slides(self.folder, SLIDES)
        return jobs


def rerun_tables() -> str:
    """The page, as Markdown. Takes some minutes: Snakemake plans the example some 300 times, on every core.

    Its last line is what it was made from (``made_from``).
    """
    said = [sys.executable, str(Path(__file__).with_name("made_from.py"))]
    digest = subprocess.run(said, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder, quiet_in(Path(folder)):
        example = Example(Path(folder))
        tables = [*_key_table(example), *_version_table(example), *_sheet_table(example)]
        return "\n".join([HEAD, *tables, MADE_FROM.format(digest), ""])


_parsed: dict[tuple[str, int], tuple[str, int, dict[int, int]]] = {}


def _parsed_once(path: Any, planned: Any, linemap: dict[int, int], rulecount: int = 0) -> tuple[str, int]:
    """As Snakemake's ``parse``; what a file was made into is kept as long as the process lives."""
    key = (path.get_path_or_uri(secret_free=True), rulecount)
    if key not in _parsed:
        lines: dict[int, int] = {}
        _parsed[key] = (*snakemake.parser.parse(path, planned, lines, rulecount=rulecount), lines)
    code, rules, lines = _parsed[key]
    linemap |= lines
    return code, rules


def _outcomes(keys: Sequence[str]) -> list[tuple[str, tuple[str, str]]]:
    """The cells of some keys, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, quiet_in(Path(folder)):
        example = Example(Path(folder))
        changes = example.changes_of(keys)
        return [(key, table_cells(example, example.after_change(changes[key]))) for key in keys]


@contextlib.contextmanager
def quiet_in(folder: Path) -> Iterator[None]:
    """In ``folder``, and back again: Snakemake changes the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _key_table(example: Example) -> list[str]:
    keys = example.keys()
    workers = min(len(keys), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        cells = dict(pair for part in pool.map(_outcomes, [keys[i::workers] for i in range(workers)]) for pair in part)
    outcomes: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        outcomes.setdefault(cells[key], []).append(key)
    lines = ["## Keys of the config", "", "| keys | changed | after them |", "| --- | --- | --- |"]
    return [*lines, *(f"| {_code(keys)} | {cells[0]} | {cells[1]} |" for cells, keys in outcomes.items()), ""]


def _version_table(example: Example) -> list[str]:
    lines = ["## Numbers in `versions.py`", "", "| number | changed | after them |", "| --- | --- | --- |"]
    names = [name for name in vars(versions) if name.isupper()]
    rows = [(name, table_cells(example, example.after_version(name))) for name in names]
    return [*lines, *(f"| `{name}` | {cells[0]} | {cells[1]} |" for name, cells in rows), ""]


def _sheet_table(example: Example) -> list[str]:
    lines = [
        "## The sheet of slides",
        "",
        f"Of one's own, with {len(SLIDES)} slides in 4 shards. Jobs that start because of it, of all jobs of the rule:",
        "",
        "| what happens | jobs |",
        "| --- | --- |",
    ]
    own = [job for job in example.before if _is_of(job, "own")]
    total = Counter(job.rule for job in own)
    for what, edit in EDITS.items():
        found = Counter(job.rule for job in example.after_edit(edit) if _is_of(job, "own"))
        jobs = ", ".join(f"{rule} {found[rule]} of {total[rule]}" for rule in example.rules if rule in found)
        lines.append(f"| {what} | {jobs or 'none'} |")
    return [*lines, ""]


def _is_of(job: Job, cohort: str) -> bool:
    """Whether a job works for one cohort alone."""
    return any(part.split(".")[0] == cohort for output in job.outputs for part in output.split("/"))


def table_cells(example: Example, outcome: Outcome) -> tuple[str, str]:
    """Two cells of a row: rules that a change starts, and rules after them, in the order of the chain."""
    changed = [rule for rule in example.rules if rule in outcome.changed and rule != REPORT]
    after = [rule for rule in example.rules if rule in outcome.after - outcome.changed and rule != REPORT]
    return ", ".join(changed) or "nothing", ", ".join(after)


def _code(keys: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


if __name__ == "__main__":
    sys.stdout.write(rerun_tables())
