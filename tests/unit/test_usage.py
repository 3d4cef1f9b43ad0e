"""What a job used, as it measures it itself: all of its CPU time and its peak, children included."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mirrorflow.plan.job_paths import JobBenchmark
from mirrorflow.runtime import usage

MEGABYTES = 120
BODY = f"""
import subprocess, sys, time
from types import SimpleNamespace
from mirrorflow.runtime.job import job_setup
from mirrorflow.errors import InputError

def busy(seconds):
    while time.process_time() < seconds:
        pass

snakemake = SimpleNamespace(rule="probe", wildcards=[], log=sys.argv[1:2], output=[])
with job_setup(snakemake):
    block = bytearray({MEGABYTES} * 2**20)
    block[::4096] = bytes(len(block[::4096]))
    del block
    before = time.process_time()
    busy(before + 0.4)
    child = "import time\\nwhile time.process_time() < 0.5: pass\\nblock = b'x' * ({2 * MEGABYTES} * 2**20)"
    subprocess.run([sys.executable, "-c", child], check=True)
    if sys.argv[2:]:
        raise InputError("no such patient")
"""


def used(log: Path, *more: str) -> tuple[int, dict[str, float]]:
    done = subprocess.run([sys.executable, "-c", BODY, str(log), *more], capture_output=True, check=False, timeout=60)
    return done.returncode, json.loads(usage.record_of(log).read_text(encoding="utf-8"))


def test_a_job_says_its_cpu_seconds_and_peak_and_those_of_its_children(tmp_path):
    code, record = used(tmp_path / "logs" / "probe" / "brca.log")
    assert code == 0
    assert 0.9 <= record["cpu_seconds"] <= record["seconds"] + 0.2  # one process at a time
    assert 2 * MEGABYTES <= record["peak_mb"] < 4 * MEGABYTES


def test_a_job_that_fails_says_it_too_and_fails_as_before(tmp_path):
    code, record = used(tmp_path / "probe.log", "fail")
    assert code == 1
    assert record["cpu_seconds"] >= 0.9


def test_a_peak_of_its_own_that_is_over_is_known():
    pages = bytes(300 * 2**20 // 4096)
    block = bytearray(300 * 2**20)
    block[::4096] = pages
    largest = usage.own_peak()
    del block
    assert usage.resident_bytes(os.getpid()) < largest - 200 * 2**20
    assert usage.own_peak() > largest - 2**20  # the kernel counts in batches


def test_processes_side_by_side_count_together(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "EVERY_S", 0.02)
    wait = "import sys; block = b'x' * (90 * 2**20); print('ready', flush=True); sys.stdin.read()"
    with usage.usage_recorded(tmp_path / "job.log"):
        children = [
            subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for child in children:
            child.stdout.readline()
        together = sum(map(usage.resident_bytes, [child.pid for child in children]))
        usage.threading.Event().wait(0.2)
        for child in children:
            child.communicate()
    assert together > 180 * 2**20
    assert json.loads((tmp_path / "job.used.json").read_text())["peak_mb"] * 2**20 >= together


def test_what_cannot_be_written_costs_the_record_alone(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with usage.usage_recorded(tmp_path / "logs" / "job.log"):
        pass
    with usage.usage_recorded(None):
        pass


@pytest.mark.parametrize("job", ["make_results", "embed/scope/brca/resnet50-v1.5/mirror/seed42/frozen"])
def test_the_record_lies_where_the_report_looks(job):
    benchmark = JobBenchmark("results/demo", job)
    assert benchmark.format() == f"results/demo/benchmarks/{job}.tsv"
    assert usage.record_of(Path(f"results/demo/logs/{job}.log")) == benchmark.used.path
    assert benchmark.rule == job.split("/")[0]


def test_every_rule_with_a_benchmark_has_a_log_of_the_same_name():
    rules = [path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "workflow/rules").glob("*.smk")]
    log, benchmark = (
        re.compile(rf'f"\{{{name}\}}/(.*)\.{ending}"|\w+\.file\({name}, f?(".*"), "{ending}"\)')
        for name, ending in (("LOGS", "log"), ("BENCHMARKS", "tsv"))
    )
    pairs = [(log.search(rule), benchmark.search(rule)) for rule in "".join(rules).split("\nrule ")]
    names = [(log and log.groups(), benchmark.groups()) for log, benchmark in pairs if benchmark]
    assert len(names) > 40
    assert [log for log, _ in names] == [benchmark for _, benchmark in names]


def record_of(log: Path, seconds: float, output: Path, *, of_case: bool = True) -> dict[str, Any]:
    with usage.usage_recorded(log, [str(output)], of_case=of_case):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
    return json.loads(usage.record_of(log).read_text(encoding="utf-8"))


def test_a_case_of_many_counts_by_itself(tmp_path):
    busy = time.process_time()
    assert busy > 0.2, "what this process used before is not the case's"
    used = record_of(tmp_path / "case.log", 0.1, tmp_path / "none")
    assert 0.1 <= used["cpu_seconds"] < 0.1 + busy / 2
    assert used["case"] is True
    assert "case" not in record_of(tmp_path / "job.log", 0.0, tmp_path / "none", of_case=False)


def test_what_was_found_keeps_what_it_took_to_make_it(tmp_path):
    log, output = tmp_path / "case.log", tmp_path / "done.json"
    output.write_text("one model")
    made = record_of(log, 0.3, output)
    assert record_of(log, 0.0, output) == made
    output.write_text("new model")
    assert record_of(log, 0.0, output)["seconds"] < made["seconds"], "it was made anew"
    output.unlink()
    assert record_of(log, 0.2, output)["made"] == ""
    assert record_of(log, 0.0, output)["seconds"] < 0.2, "nothing is known of what was made"


def test_a_large_output_is_known_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "SMALL", 4)
    output = tmp_path / "features.h5"
    output.write_text("12345")
    made = record_of(tmp_path / "case.log", 0.2, output)
    output.write_text("54321")
    assert record_of(tmp_path / "case.log", 0.0, output) == made
