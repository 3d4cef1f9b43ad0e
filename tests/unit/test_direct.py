"""Jobs that Snakemake hands to the warm process itself: the script's part without its process."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.benchmark import BenchmarkRecord
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards

from mirrorflow.runtime import direct
from mirrorflow.steps.start import run_here

FILES = [InputFiles(["in"]), OutputFiles(["out"]), Params(), Wildcards(), 2, ResourceList(), Log(["log"])]
ARGUMENTS: list[Any] = [*FILES, "evaluate", *[None] * 17]


NAMED = [direct.NAMES.get(at, f"other{at}") for at in range(len(ARGUMENTS))]


def called(act: Callable[..., Any], names: list[str] = NAMED) -> Any:
    """A function with Snakemake's names that calls ``act``."""
    return eval(f"lambda {', '.join(names)}: act({', '.join(names)})", {"act": act})


def rule(script: str, folder: Path = direct.SCRIPTS.parent / "rules") -> Any:
    base = SimpleNamespace(get_path_or_uri=lambda *, secret_free: str(folder))
    return SimpleNamespace(is_script=True, script=script, basedir=base, run_func=called(lambda *given: given))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the warm process was asked for; its answer is ``status``."""
    known: dict[str, Any] = {"status": 0}

    def answer(run: Any, snakemake: Any) -> int | None:
        known.update(run=run, snakemake=snakemake)
        return known["status"]

    monkeypatch.setattr(direct, "run_in_warm_process", answer)
    return known


def made(script: str = "../scripts/evaluate.py") -> Any:
    one = rule(script)
    direct.run_scripts_directly(SimpleNamespace(rules=[one]), run_here)
    return one.run_func


def test_the_warm_process_gets_what_the_script_would_have_got(asked):
    record = BenchmarkRecord()
    given = [*ARGUMENTS]
    given[direct.RECORD] = record
    made()(*given)
    snakemake = asked["snakemake"]
    assert asked["run"] is run_here
    assert (list(snakemake.input), list(snakemake.output), list(snakemake.log)) == (["in"], ["out"], ["log"])
    assert (snakemake.threads, snakemake.rule) == (2, "evaluate")
    assert snakemake.scriptdir == str(direct.SCRIPTS)
    assert record.running_time >= 0


def test_without_one_the_script_is_run_as_snakemake_would(asked, monkeypatch):
    asked["status"] = None
    one = rule("../scripts/evaluate.py")
    got: list[Any] = []
    one.run_func = called(lambda *given: got.append(given))
    direct.run_scripts_directly(SimpleNamespace(rules=[one]), run_here)
    one.run_func(*ARGUMENTS)
    assert got == [tuple(ARGUMENTS)]


def test_a_job_that_fails_fails_its_rule(asked):
    asked["status"] = 137
    with pytest.raises(WorkflowError, match=r"^evaluate\.py, in a fork of the warm process, ended with 137$"):
        made()(*ARGUMENTS)


def test_scripts_of_other_workflows_are_left_alone(tmp_path):
    own = rule("../scripts/evaluate.py", tmp_path / "rules")
    shell = SimpleNamespace(is_script=False, run_func=print)
    before = own.run_func
    direct.run_scripts_directly(SimpleNamespace(rules=[own, shell]), run_here)
    assert (own.run_func, shell.run_func) == (before, print)


def test_a_snakemake_with_other_arguments_runs_its_scripts():
    """Moved by one, or fewer: nothing is replaced, rather than a job handed on with another's values."""
    for names in (["first", *NAMED[:-1]], NAMED[: direct.RECORD]):
        one = rule("../scripts/evaluate.py")
        one.run_func = before = called(print, names)
        direct.run_scripts_directly(SimpleNamespace(rules=[one]), run_here)
        assert one.run_func is before


def test_the_arguments_are_where_snakemake_puts_them():
    """``run_func`` is called by position alone: a Snakemake that moves them is noticed here."""
    import inspect

    from snakemake.executors import local

    source = inspect.getsource(local.run_wrapper)
    names = source[source.index("run(\n") :].split(")")[0].replace("\n", " ").removeprefix("run(").split(",")
    names = [name.strip() for name in names if name.strip()]
    assert names[:8] == ["input", "output", "params", "wildcards", "threads", "resources", "log", "rule"]
    assert (names[direct.RECORD], names[direct.ITERATION]) == ("bench_record", "bench_iteration")
