"""Cases that share a job: what Snakemake is told of them, and how the job serves them."""

import json
import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirrorflow.errors import MirrorflowError
from mirrorflow.plan.together import Jobs, Served
from mirrorflow.runtime import forks
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.forks import Cores, in_workers
from mirrorflow.steps.together import CaseJob, serve_cases

CASES = [{"protocol": "honest", "fold": 0}, {"protocol": "honest", "fold": 1}]
LOG = "results/logs/work/{protocol}/{fold}.log"


class Marked(str):
    """A path as Snakemake marks it."""

    def __new__(cls, path: str, **flags: bool) -> "Marked":
        made = super().__new__(cls, path)
        made.flags = flags
        return made


def served(cases: list[dict[str, Any]] = CASES, **how: Any) -> Served:
    made = Jobs(few=True, **how).of("work", cases, each=4)
    made.file("results/logs", "{protocol}/{fold}", "log")
    return made


# what Snakemake is told


def test_many_jobs_have_the_rule_as_it_is_written():
    made = Jobs(few=False).of("work", CASES, each=4)
    assert made.inputs(cohort="{protocol}.tsv") == {"cohort": "{protocol}.tsv"}
    assert made.outputs(manifest="{fold}.json") == {"manifest": "{fold}.json"}
    assert made.params(version=3) == {"version": 3}
    assert made.file("logs", "{protocol}/{fold}", "log") == "logs/work/{protocol}/{fold}.log"
    assert (made.threads, made.growing(100)(None, 2), made.lasting(10)(None, 1)) == (4, 200, 10)


def test_few_jobs_have_the_files_of_all_cases_once():
    made = served()
    needs = made.inputs(cohort="{protocol}.tsv", split=lambda wildcards: [f"split{wildcards.fold}.csv"])["needs"]
    assert needs(None) == ["honest.tsv", "split0.csv", "split1.csv"]
    assert made.outputs(manifest="{protocol}/{fold}.json") == {"made": ["honest/0.json", "honest/1.json"]}
    assert made.file("logs", "{protocol}/{fold}", "tsv") == "logs/work.tsv"
    assert (made.threads, made.growing(100)(None, 2), made.lasting(10)(None, 1)) == (8, 400, 20)


def test_what_cases_make_for_each_other_is_no_input_of_the_job():
    made = served()
    needs = made.inputs(first=lambda wildcards: "honest/0.json" if wildcards.fold == "1" else [])["needs"]
    made.outputs(manifest="{protocol}/{fold}.json")
    assert needs(None) == []


def test_a_date_counts_where_it_counts_for_one_case():
    def sheet(wildcards: Any) -> str:
        return Marked("sheet.tsv", **({"ancient": True} if wildcards.fold == "0" else {}))

    made = served()
    made.outputs(manifest="{fold}.json")
    (needed,) = made.inputs(sheet=sheet)["needs"](None)
    assert "ancient" not in needed.flags


def test_a_job_runs_again_for_what_a_case_would_run_again_for():
    def noted(epochs: int, cache: int) -> dict[str, str]:
        made = served()
        params = made.params(
            epochs=lambda wildcards: epochs if wildcards.fold == "1" else 5, cache=lambda wildcards, threads: cache
        )
        return params["settings"](None)

    before, other_epochs, other_cache = noted(5, 1), noted(6, 1), noted(5, 2)
    assert before == other_cache
    assert before["honest/0"] == other_epochs["honest/0"]
    assert before["honest/1"] != other_epochs["honest/1"]


def test_a_job_is_handed_its_cases_whole():
    made = served()
    made.inputs(cohort="{protocol}.tsv", folds=["a{fold}", "b{fold}"])
    made.outputs(manifest="{fold}.json")
    params = made.params(version=2, threads=lambda wildcards, threads: threads)
    handed = params["together"](None, 8)
    assert handed[1] == {
        "wildcards": {"protocol": "honest", "fold": 1},
        "log": "results/logs/work/honest/1.log",
        "input": {"cohort": "honest.tsv", "folds": ["a1", "b1"]},
        "output": {"manifest": "1.json"},
        "params": {"version": 2, "threads": 4},
    }
    assert json.loads(json.dumps(handed)) == handed


def test_a_profile_says_how_many_threads_a_case_has():
    asked = {"work": {"case_threads": SimpleNamespace(value=1)}}
    assert Jobs(few=True, set_resources=asked).of("work", CASES, each=8).threads == 2
    assert Jobs(few=False, set_resources=asked).of("work", CASES, each=8).threads == 1
    assert Jobs(few=True, set_resources=asked).of("other", CASES, each=8).threads == 16
    assert Jobs(few=True, set_resources={"work": {"case_threads": 0}}).of("work", CASES, each=8).threads == 16


@pytest.mark.parametrize(("cores", "threads"), [(4, 8), (8, 8), (12, 8), (17, 16), (64, 16)])
def test_a_job_takes_no_core_that_no_case_would_use(cores, threads):
    assert Jobs(few=True, cores=cores).of("work", CASES, each=8).threads == threads


def test_a_light_job_leaves_cores_for_others():
    assert [Jobs(few=True, cores=cores).of("work", CASES, part=2).threads for cores in (1, 2, 3, 4, 64)] == [
        1,
        1,
        1,
        2,
        2,
    ]


def test_cases_that_share_the_jobs_threads_do_so_side_by_side_alone():
    assert Jobs(few=True).of("work", CASES, each=8, spread=True).case_threads == 0
    assert Jobs(few=True, beside=False).of("work", CASES, each=8, spread=True).case_threads == 8


def test_on_a_cluster_one_job_asks_for_what_a_case_needs():
    made = served(beside=False)
    assert (made.threads, made.growing(100)(None, 1), made.lasting(10)(None, 1)) == (4, 100, 20)


def test_a_rule_without_cases_stays_as_it_is():
    assert Jobs(few=True).of("work", []).outputs(manifest="{fold}.json") == {"manifest": "{fold}.json"}


# the job


def whole(threads: int = 2, **resources: int) -> SimpleNamespace:
    return SimpleNamespace(rule="work", threads=threads, resources={"mem_mb": 3000, **resources})


def cases_of(tmp_path: Path, *names: str, **needs: str) -> list[dict[str, Any]]:
    return [
        {
            "wildcards": {"name": name},
            "log": str(tmp_path / f"{name}.log"),
            "input": {"needs": [str(tmp_path / needs[name])] if name in needs else []},
            "output": {"made": str(tmp_path / name)},
            "params": {"text": name},
        }
        for name in names
    ]


def write(job: CaseJob) -> None:
    for needed in job.input.needs:
        assert Path(needed).exists(), needed
    Path(job.output.made).write_text(f"{job.params['text']} {job.threads} {job.resources['mem_mb']} {os.getpid()}")


def test_a_step_sees_of_a_case_what_it_would_see_of_a_job(tmp_path):
    (case,) = cases_of(tmp_path, "a")
    job = CaseJob(whole(), case, Cores(1, threads=2))
    assert (list(job.output), job.output.keys(), job.output.made) == ([str(tmp_path / "a")], ["made"], job.output[0])
    assert (list(job.wildcards), dict(job.wildcards.items()), job.wildcards.name) == (["a"], {"name": "a"}, "a")
    assert not hasattr(job.wildcards, "fold")
    assert (job.rule, job.threads, job.log) == ("work", 2, [str(tmp_path / "a.log")])


@pytest.mark.parametrize(
    ("threads", "asked", "cases", "each", "workers"),
    [(2, 1, 3, 1, 2), (8, 8, 3, 8, 1), (8, 0, 2, 8, 1), (2, 0, 7, 2, 1), (2, 0, 8, 1, 2), (1, 8, 3, 1, 1)],
)
def test_cases_share_the_threads_of_their_job(tmp_path, threads, asked, cases, each, workers):
    names = [f"case{number}" for number in range(cases)]
    serve_cases(whole(threads, case_threads=asked), cases_of(tmp_path, *names), write)
    said = [(tmp_path / name).read_text().split() for name in names]
    assert {(int(threads), int(memory)) for _, threads, memory, _ in said} == {(each, 3000 // workers)}
    assert 1 <= len({pid for *_, pid in said} - {str(os.getpid())}) <= workers


def test_a_case_waits_for_what_another_makes(tmp_path):
    serve_cases(whole(), cases_of(tmp_path, "late", "first", "other", late="first"), write)
    assert (tmp_path / "late").exists()


def stumble(job: CaseJob) -> None:
    if job.wildcards.name == "leaves":
        raise SystemExit(1)
    if job.wildcards.name == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    write(job)


def test_a_case_that_fails_or_dies_takes_no_other_along(tmp_path, caplog):
    names = ("leaves", "a", "dies", "b", "c")
    with pytest.raises(MirrorflowError, match=r"2 of 5 cases failed: leaves, dies\. Their messages stand above"):
        serve_cases(whole(), cases_of(tmp_path, *names), stumble)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert f"leaves ended with 1: see {tmp_path / 'leaves.log'}" not in caplog.text, "said in the worker's process"
    assert "dies failed: its process ended with -9" in caplog.text


def test_what_waits_for_a_failed_case_is_named_and_all_else_is_made(tmp_path):
    names = ("leaves", "behind", "far_behind", "a", "b")
    with pytest.raises(MirrorflowError, match=r"1 of 5 cases failed: leaves, and behind, far_behind, which wait for"):
        serve_cases(whole(), cases_of(tmp_path, *names, behind="leaves", far_behind="behind", b="a"), stumble)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def leave_a_pool(job: CaseJob) -> None:
    """As joblib does: processes that wait for more work."""
    job.kept = multiprocessing.get_context("fork").Pool(1)
    job.kept.apply(abs, [1])
    write(job)


def test_nobody_waits_for_a_librarys_idle_processes(tmp_path):
    begun = time.monotonic()
    serve_cases(whole(), cases_of(tmp_path, "a", "b"), leave_a_pool)
    assert time.monotonic() - begun < 10


def test_messages_of_cases_stand_in_the_log_of_the_job_and_not_twice_on_the_terminal(tmp_path, capfd):
    logger = logging.getLogger("mirrorflow")
    on_terminal, in_file = logging.StreamHandler(), logging.FileHandler(tmp_path / "work.log")
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(on_terminal)
    logger.addHandler(in_file)
    try:
        serve_cases(whole(), cases_of(tmp_path, "a"), lambda job: logger.warning("said by %s", job.wildcards.name))
    finally:
        logger.removeHandler(on_terminal)
        logger.removeHandler(in_file)
        in_file.close()
    assert "WARNING [a] said by a" in (tmp_path / "work.log").read_text()
    assert "said by a" not in capfd.readouterr().err


# workers


def note(place: Path, number: int) -> None:
    (place / f"{number}-{os.getpid()}").write_text("")
    time.sleep(0.05)


def test_workers_make_one_call_after_the_other(tmp_path):
    done: list[str] = []
    calls = [Call(note, (tmp_path, number), {}, f"call {number}") for number in range(7)]
    assert in_workers(calls, Cores(2), done.append) == []
    made = [path.name.split("-") for path in tmp_path.iterdir()]
    assert sorted(int(number) for number, _ in made) == list(range(7))
    assert len({pid for _, pid in made}) == 2
    assert sorted(done) == sorted(call.label for call in calls)


def test_memory_holds_workers_back(tmp_path, monkeypatch):
    monkeypatch.setattr(forks, "LOOKS_S", 60.0)  # what none was seen to take counts with FIRST_MB
    calls = [Call(note, (tmp_path, number), {}, f"call {number}") for number in range(3)]
    assert in_workers(calls, Cores(3, memory_mb=700.0), lambda _: None) == []
    assert len({path.name.split("-")[1] for path in tmp_path.iterdir()}) == 1
