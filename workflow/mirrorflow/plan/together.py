"""Cases of a rule that share a job: one job serves them all, or each has a job of its own.

A rule is written for one case. Where jobs are few, its files and params become those of every case of the run, and the
job (:mod:`mirrorflow.steps.together`) serves case after case, side by side where cores allow.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from mirrorflow.plan.wildcards import Wildcards, growing

Case = Mapping[str, Any]
"""A case's wildcards, in the order in which its files name them."""
EACH = "case_threads"
"""Resource: threads of one case; 0: as the job finds best. A profile may set the number."""
TOGETHER = "together"
"""Param with the cases of a job that serves several."""
PLENTY = 10_000
"""More cores than there are."""


@dataclass(frozen=True)
class Jobs:
    """few: one job serves every case of a rule, else each has its own. beside: cases of a job go side by side."""

    few: bool
    beside: bool = True
    cores: int = PLENTY
    """Cores of the run."""
    set_resources: Mapping[str, Mapping[str, Any]] | None = None
    """What profile and command line say of rules' resources: rule -> resource -> value."""

    def of(self, rule: str, cases: Sequence[Case], each: int = 1, *, part: int = 1, spread: bool = False) -> "Served":
        """A rule with its cases; ``each``: threads of a case, where no profile says otherwise.

        part: the job takes one core of so many; the others are for what is ready beside it.
        spread: a case that has several makes processes of one thread each, so that what it computes does not depend
        on how many it has.
        """
        said = (self.set_resources or {}).get(rule) or {}
        threads = getattr(said[EACH], "value", said[EACH]) if EACH in said else each
        return Served(
            rule, tuple(cases) if self.few else (), int(threads) or each, self.beside, spread, self.cores // part
        )


@dataclass(frozen=True, eq=False)
class Served:
    """What a rule asks for its sections: of one case in wildcards (no ``cases``), or of all ``cases`` at once."""

    rule: str
    cases: tuple[Case, ...]
    each: int = 1
    beside: bool = True
    spread: bool = False
    cores: int = PLENTY

    @cached_property
    def _named(self) -> dict[str, dict[str, Any]]:
        """What the rule gave for its inputs, outputs and params, and its log."""
        return {}

    def inputs(self, **named: Any) -> dict[str, Any]:
        """Section ``input``."""
        self._named["input"] = named
        return {"needs": lambda wildcards: self._needs} if self.cases else named

    def outputs(self, **named: Any) -> dict[str, Any]:
        """Section ``output``."""
        self._named["output"] = named
        return {"made": self._made} if self.cases else named

    def params(self, **named: Any) -> dict[str, Any]:
        """Section ``params``: of all cases a digest each, by which they run again, and beside it what they are."""
        self._named["params"] = named
        if not self.cases:
            return named
        return {"settings": lambda wildcards: self._settings, TOGETHER: self._records}

    def file(self, folder: str, below: str, ending: str) -> str:
        """Log or benchmark: ``<folder>/<rule>/<below>.<ending>`` of a case, ``<folder>/<rule>.<ending>`` of all."""
        if ending == "log":
            self._named["log"] = {"log": f"{folder}/{self.rule}/{below}.{ending}"}
        return f"{folder}/{self.rule}.{ending}" if self.cases else f"{folder}/{self.rule}/{below}.{ending}"

    @property
    def case_threads(self) -> int:
        """Resource of that name."""
        return 0 if self.spread and self.beside else self.each

    @property
    def threads(self) -> int:
        """Section ``threads``: as many cases side by side as cores allow."""
        beside = max(1, min(len(self.cases), self.cores // self.each)) if self.cases and self.beside else 1
        return self.each * beside

    def growing(self, base: int) -> Callable[[Wildcards, int], int]:
        """Memory of a job whose cases take ``base`` each."""
        return growing(base * max(1, len(self.cases)) if self.beside else base)

    def lasting(self, base: int) -> Callable[[Wildcards, int], int]:
        """Time of a job whose cases take ``base`` each, one after the other at worst."""
        return growing(base * max(1, len(self.cases)))

    # of all cases

    @cached_property
    def _needs(self) -> list[str]:
        """Files that cases read and do not make for each other; one whose date counts for a case counts."""
        made, found = set(self._made), dict[str, str]()
        for case in self.cases:
            for path in flat(self._of(case, "input").values()):
                if str(path) not in made and not _is_ancient(found.get(str(path), path), path):
                    found[str(path)] = path
        return list(found.values())

    @property
    def _made(self) -> list[str]:
        return list(dict.fromkeys(str(path) for case in self.cases for path in flat(self._of(case, "output").values())))

    @cached_property
    def _settings(self) -> dict[str, str]:
        """Case -> sixteen digits that stand for the params by which it runs again."""
        return {label_of(case): _digest(self._of(case, "params", noted=True)) for case in self.cases}

    def _records(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: wildcards, files and params of every case."""
        return [
            {
                "wildcards": dict(case),
                "log": self._of(case, "log")["log"],
                **{section: _plain(self._of(case, section)) for section in ("input", "output")},
                "params": self._of(case, "params"),
            }
            for case in self.cases
        ]

    def _of(self, case: Case, section: str, *, noted: bool = False) -> dict[str, Any]:
        """What a section is of one case; ``noted``: without what no job runs again for."""
        named = self._named.get(section, {}).items()
        return {
            name: _asked(value, case, self.each, patterns=section != "params")
            for name, value in named
            if not (noted and _asks_for_threads(value))
        }


def label_of(case: Case) -> str:
    """A case in a word."""
    return "/".join(str(value).strip("/") for value in case.values() if value != "")


def _asked(value: Any, case: Case, threads: int, *, patterns: bool) -> Any:
    """A value of a rule for one case; ``patterns``: texts are paths with wildcards."""
    if callable(value):
        wildcards = SimpleNamespace(**{name: str(one) for name, one in case.items()})
        return value(wildcards, threads) if _asks_for_threads(value) else value(wildcards)
    if not patterns:
        return value
    return value.format(**case) if isinstance(value, str) else [one.format(**case) for one in value]


def _asks_for_threads(value: Any) -> bool:
    return callable(value) and "threads" in inspect.signature(value).parameters


def flat(values: Iterable[Any]) -> list[str]:
    """Paths of values that are one, or a list of them."""
    return [path for value in values for path in ([value] if isinstance(value, str) else value)]


def _plain(named: Mapping[str, Any]) -> dict[str, Any]:
    """Paths without Snakemake's marks, which no process is sent."""
    return {name: str(one) if isinstance(one, str) else [str(path) for path in one] for name, one in named.items()}


def _is_ancient(*paths: str) -> bool:
    """Whether the file was there before and its date counts already."""
    first, second = ("ancient" in getattr(path, "flags", {}) for path in paths)
    return second and not first


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]
