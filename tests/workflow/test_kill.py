"""SIGKILL at random moments: no orphan, no lock to clear by hand, nothing finished is done again, the same result."""

import functools
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from killing import WORTHWHILE, Killed, assert_gone, finished
from runner import CONFIGS, changed_config, command, compare_runs

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
KILLS = 12
SEED = 20


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cohort under one protocol with a method of each kind; trained long enough to be killed meanwhile."""
    tiny = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())["methods"]
    changes = {
        "pretrain.epochs": 16,
        "protocols": {"honest": {}},
        "methods": {"linear": {}, "mirror": {}, "abmil": tiny["abmil"]},
    }
    return changed_config(tmp_path_factory.mktemp("config"), CONFIGS / "tiny.yaml", **changes)


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """The same run, never killed."""
    run = Killed(tmp_path_factory.mktemp("undisturbed"), config)
    assert run.run(lambda: False, own_warm_process=False) is None
    return run


@pytest.mark.timeout(3600)
def test_killed_runs_go_on_and_give_the_same(config: Path, undisturbed: Killed, tmp_path: Path) -> None:
    """A moment is a number of finished files: drawn over the whole run, so that slides, training and probes are hit.

    Every third kill hits a run with a warm process of its own, whose first jobs are scripts; the others hit runs whose
    jobs are forks of a process that lives on.
    """
    total = sum(undisturbed.written().values())
    random_moments = random.Random(SEED)
    moments = sorted(random_moments.sample(range(1, int(0.97 * total)), KILLS))
    run = Killed(tmp_path, config)
    kept: dict[str, int] = {}
    kills = 0
    for number, moment in enumerate(moments):
        is_due = functools.partial(has_written, run, moment)
        children = run.run(is_due, own_warm_process=number % 3 == 0)
        if children is None:
            break
        kills += 1
        assert_gone(children)
        now = finished(tmp_path)
        assert {path: now.get(path) for path in kept} == kept, "what was finished was done again"
        kept = now
        run.unlock()
    assert run.run(lambda: False, own_warm_process=False) is None
    assert kills >= 10
    again = {path: count for path, count in run.written().items() if count > 1 and WORTHWHILE.search(path)}
    assert again == {}, "done twice"
    assert set(finished(tmp_path)) == set(finished(undisturbed.folder))
    compare_runs(undisturbed.folder / "results/tiny", tmp_path / "results/tiny")
    assert not list(tmp_path.glob("**/.tmp-*")), "half files are left"
    counted = sum(1 for path in run.written() if WORTHWHILE.search(path))
    print(f"kills={kills} moments={moments} of {total} files; worthwhile files counted={counted}, done twice=0")


def has_written(run: Killed, files: int) -> bool:
    return run.written().total() >= files


def test_unlock_refuses_while_a_run_lives(config: Path, tmp_path: Path) -> None:
    with (tmp_path / "run.log").open("w") as log:
        process = subprocess.Popen(command(tmp_path, config), cwd=tmp_path, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while not list((tmp_path / ".snakemake/mirrorflow-owners").glob("*.json")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            said = subprocess.run(
                [sys.executable, "-m", "mirrorflow.cli", "unlock"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            process.kill()
            process.wait()
    assert said.returncode == 1
    assert "is at work here" in said.stderr
