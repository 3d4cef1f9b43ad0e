"""Scripts as Snakemake runs them: processes of their own with a `snakemake` object and an owner."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from snakemake.iocontainers import Namedlist

from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.job import OWNER_VARIABLE
from mirrorflow.steps.slides import download_slides
from mirrorflow.steps.start import run_step

SCRIPTS = sorted((Path(__file__).parents[2] / "workflow" / "scripts").glob("*.py"))
LIMIT_S = 30
HEAD = """
import logging, subprocess, sys, time, warnings
from types import SimpleNamespace
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import job_setup
snakemake = SimpleNamespace(rule="probe", wildcards=["honest", "brca"], log=sys.argv[1:2], output=sys.argv[2:])
"""


def script(body: str) -> list[str]:
    return [sys.executable, "-c", HEAD + body]


def environment(owner: int | None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != OWNER_VARIABLE}
    return inherited | ({} if owner is None else {OWNER_VARIABLE: str(owner)})


def run(body: str, *arguments: str, owner: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*script(body), *arguments],
        env=environment(owner),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def started(command: list[str], owner: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line; killed at the end, should it still live."""
    with subprocess.Popen(command, env=environment(owner), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_script_that_ends_well_logs_to_the_terminal_and_the_rules_log(tmp_path):
    log = tmp_path / "logs" / "probe.log"
    body = """
with job_setup(snakemake):
    logging.getLogger("mirrorflow.runtime.progress").info("3 of 5")
    warnings.warn("a library's warning")
"""
    done = run(body, str(log), owner=os.getpid())
    assert done.returncode == 0
    assert done.stderr == "[probe honest brca] 3 of 5\n"
    assert "INFO 3 of 5" in log.read_text()
    assert "a library's warning" in log.read_text()


def test_what_the_user_can_fix_is_its_message_alone(tmp_path):
    log = tmp_path / "probe.log"
    body = """
with job_setup(snakemake):
    raise InputError("slides.tsv, line 3: no path; give one")
"""
    done = run(body, str(log))
    assert done.returncode == 1
    assert done.stderr == "[probe honest brca] slides.tsv, line 3: no path; give one\n"
    assert "slides.tsv, line 3: no path; give one" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_any_other_error_comes_with_its_traceback(tmp_path):
    log = tmp_path / "probe.log"
    done = run('with job_setup(snakemake):\n    {}["key"]\n', str(log))
    assert done.returncode == 1
    for said in (done.stderr, log.read_text()):
        assert "unexpected error" in said
        assert "KeyError: 'key'" in said
        assert said.count("Traceback") == 1


def test_a_script_without_a_log_or_an_owner_runs():
    done = run('with job_setup(snakemake):\n    print("done")\n')
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_half_files_beside_outputs_and_log_are_cleared(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(LIMIT_S)
    name = f".tmp-{gone.pid}@{socket.gethostname()}@"
    halves = [tmp_path / "shards" / f"{name}0.tsv", tmp_path / "logs" / f"{name}0.used.json"]
    for half in halves:
        half.parent.mkdir()
        half.touch()
    done = run("with job_setup(snakemake):\n    pass\n", str(tmp_path / "logs/0.log"), str(tmp_path / "shards/0.tsv"))
    assert done.returncode == 0
    assert not any(half.exists() for half in halves)


def test_a_job_dies_when_its_owner_dies_and_its_children_with_it():
    sleep = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
    body = f"""
with job_setup(snakemake):
    child = subprocess.Popen({sleep!r}, stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    time.sleep(600)
"""
    with started(sleep) as owner:
        owner.stdout.readline()
        with started(script(body), owner=owner.pid) as job:
            child = psutil.Process(int(job.stdout.readline()))
            assert job.poll() is None
            killed_at = time.monotonic()
            owner.kill()
            owner.wait(LIMIT_S)
            assert job.wait(LIMIT_S) == -signal.SIGKILL
            _, alive = psutil.wait_procs([child], timeout=LIMIT_S)
            assert alive == []
            # The wait is bounded: a few looks, a quarter of a second apart, on a busy machine.
            assert time.monotonic() - killed_at < 10


def test_a_job_outlives_an_owner_that_is_stopped_but_not_gone():
    sleep = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
    body = """
with job_setup(snakemake):
    print("ready", flush=True)
    sys.stdin.readline()
    time.sleep(0.6)
    print("still here", flush=True)
"""
    with started(sleep) as owner:
        owner.stdout.readline()
        with subprocess.Popen(
            script(body),
            env=environment(owner.pid),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as job:
            job.stdout.readline()
            owner.send_signal(signal.SIGSTOP)
            out, _ = job.communicate("go\n", timeout=LIMIT_S)
    assert out == "still here\n"
    assert job.returncode == 0


def test_a_job_whose_owner_is_already_gone_does_nothing(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(LIMIT_S)
    written = tmp_path / "written"
    done = run(f"with job_setup(snakemake):\n    open({str(written)!r}, 'w').close()\n", owner=gone.pid)
    assert done.returncode == -signal.SIGKILL
    assert not written.exists()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_three_lines_and_imports_nothing_else(path: Path):
    docstring, *lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert docstring.startswith(f'"""Rule {path.stem}: ')
    assert docstring.endswith('"""')
    assert lines == ["from mirrorflow.steps.start import run_step", "run_step(snakemake)"]


def snakemake_of(rule: str, **given: Any) -> SimpleNamespace:
    """What Snakemake hands a script."""
    kinds = {name: Namedlist(fromdict=given.get(name, {})) for name in ("input", "output", "params", "wildcards")}
    resources = Namedlist(fromdict={"mem_mb": 1000})
    return SimpleNamespace(rule=rule, log=[], threads=1, resources=resources, **kinds)


def test_a_step_gets_its_files_as_paths_and_its_wildcards_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    got: list[Any] = []
    monkeypatch.setattr("mirrorflow.steps.slides.download_slides.run", lambda *all_of: got.extend(all_of))
    files = {"input": {"sheet": "gdc/slides.tsv"}, "output": {"status": str(tmp_path / "3.tsv")}}
    run_step(snakemake_of("download_slides", **files, params={"shards": 8}, wildcards={"cohort": "brca", "shard": "3"}))
    inputs, outputs, params, job = got
    assert inputs == download_slides.Inputs(Path("gdc/slides.tsv"))
    assert outputs == download_slides.Outputs(tmp_path / "3.tsv")
    assert params == download_slides.Params(shard=3, shards=8)
    assert job.label == "download_slides brca 3"
    assert (job.threads, job.resources, job.wildcards["cohort"]) == (1, {"mem_mb": 1000}, "brca")


def test_what_a_rule_lacks_is_named_with_the_rule_and_ends_the_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = {"input": {}, "output": {"status": str(tmp_path / "3.tsv")}}
    with pytest.raises(SystemExit):
        run_step(snakemake_of("download_slides", **files, params={"shards": 8}, wildcards={"shard": "3"}))
    said = "rule download_slides, input sheet: the step declares it, the rule does not give it"
    assert capsys.readouterr().err == f"[download_slides 3] {said}\n"


def test_a_rule_without_a_step_of_its_name_is_told_so(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        run_step(snakemake_of("no_such_rule"))
    assert "rule no_such_rule: 0 steps of its name" in capsys.readouterr().err


def test_what_another_run_put_into_the_store_stops_the_job_that_would_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = {"path": str(tmp_path / "plan.json"), "settings": {"orientation": "genes_by_samples"}}
    given: dict[str, Any] = {"params": {"shards": 8, "stored": [record]}, "wildcards": {"shard": "3"}}
    with pytest.raises(SystemExit):
        run_step(snakemake_of("download_slides", **given))
    assert "the step declares it" in capsys.readouterr().err, "no record: nothing is held"
    write_plan({**record, "settings": {"orientation": "samples_by_genes"}})
    with pytest.raises(SystemExit):
        run_step(snakemake_of("download_slides", **given))
    said = capsys.readouterr().err
    assert "orientation: made with 'samples_by_genes', this run wants 'genes_by_samples'" in said
    assert "a run with other settings needs another name or store" in said
