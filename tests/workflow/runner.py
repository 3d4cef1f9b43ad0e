"""Run the workflow in a folder of its own, as a user would, and read what Snakemake says."""

import atexit
import functools
import gc
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import yaml
from snakemake.cli import main

from mirrorflow.plan.jobs import changed_jobs, following, plan_jobs
from mirrorflow.runtime import warm

ROOT = Path(__file__).parents[2]
CONFIGS = Path(__file__).parent / "configs"
SECRETS = {"GDC_TOKEN": "gdc-451-sentinel", "COSMIC_PASSWORD": "cosmic-451-sentinel", "HF_TOKEN": "hf-451-sentinel"}
"""Secrets as a user's environment may hold them; no file of a run may name them."""
JOB_TABLE = re.compile(r"^(?P<rule>[a-z_]+)\s+(?P<count>\d+)\s*$", re.MULTILINE)


def command(folder: Path, config: Path, *arguments: str, cores: int = 2) -> list[str]:
    """The command line of a run in ``folder``."""
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    where = ["--directory", str(folder), "--configfile", str(config), "--cores", str(cores)]
    return [*snakemake, *where, "--workflow-profile", str(ROOT / "profiles" / "small"), *arguments]


def run(folder: Path, config: Path, *arguments: str, cores: int = 2) -> subprocess.CompletedProcess[str]:
    """Run the workflow; stdout and stderr are joined.

    In a fork of this process, which has imported Snakemake: a sixth of the time of a dry run. The jobs of others are
    forks of one warm process, which has imported what steps import: a run's own would be a good part of these small
    runs (:func:`run_as_a_user`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = command(folder, config, *arguments, cores=cores)[3:]
    if "--dry-run" in arguments:
        return _in_fork(words, folder, environment())
    return _in_fork(words, folder, {warm.VARIABLE: warm_process(), **environment()})


def run_as_a_user(folder: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As :func:`run`, in a process of its own, with a warm process of the run's own where it has jobs enough."""
    folder.mkdir(parents=True, exist_ok=True)
    words, variables, pipe = command(folder, config, *arguments), environment(), subprocess.PIPE
    return subprocess.run(
        words, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False, cwd=folder, env=variables
    )


def environment() -> dict[str, str]:
    """The variables of a run, which is on processors wherever it runs: a GPU would have its jobs planned otherwise."""
    return {**os.environ, "PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": "", **SECRETS}


def warm_process() -> str:
    """What names a warm process that ends with this one; it is started once."""
    return warm.named(_warm_process()[0])


def jobs_of_warm_process() -> list[psutil.Process]:
    """The forks of :func:`warm_process` that are there, and what they started."""
    return psutil.Process(_warm_process()[1].pid).children(recursive=True)


@functools.cache
def _warm_process() -> tuple[Path, subprocess.Popen[bytes]]:
    address, process = warm.started()
    atexit.register(_end, process)
    while not address.exists():
        assert process.poll() is None, "the warm process ended before it was ready"
        time.sleep(0.05)
    return address, process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _in_fork(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What ``python -m snakemake`` does with these arguments, in a fork of this process, which has imported it."""
    with tempfile.TemporaryFile() as said:
        gc.freeze()  # pytest's objects: a fork that looked for garbage among them would copy their memory
        child = os.fork()
        if not child:
            os._exit(_snakemake_here(arguments, folder, environment, said.fileno()))
        _, status = os.waitpid(child, 0)
        gc.unfreeze()
        said.seek(0)
        return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), said.read().decode())


def _snakemake_here(arguments: list[str], folder: Path, environment: dict[str, str], terminal: int) -> int:
    """Become that Snakemake, with nothing of pytest's around it; its exit status."""
    for stream in (1, 2):
        os.dup2(terminal, stream)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 (a file of this process)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    sys.unraisablehook = sys.__unraisablehook__
    logging.getLogger().handlers.clear()
    warnings.resetwarnings()
    try:
        main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # this process must not go on as pytest
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


def succeed(folder: Path, config: Path, *arguments: str) -> str:
    """Run the workflow and return what it said; fails with that when it failed."""
    done = run(folder, config, *arguments)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def copy_run(folder: Path, target: Path) -> Path:
    """A copy of a finished run, but for Snakemake's logs and locks (a dry run may be writing one)."""

    def fleeting(where: str, names: list[str]) -> set[str]:
        return {"log", "locks", "incomplete"} & set(names) if Path(where) == folder / ".snakemake" else set()

    return Path(shutil.copytree(folder, target, ignore=fleeting))


def planned(folder: Path, config: Path, *arguments: str) -> Counter[str]:
    """Jobs a dry run would start, by rule (``all`` left out)."""
    return planned_from(succeed(folder, config, "--dry-run", *arguments))


def planned_from(said: str) -> Counter[str]:
    """Jobs that a dry run names, by rule."""
    counts = Counter({match["rule"]: int(match["count"]) for match in JOB_TABLE.finditer(said)})
    for bookkeeping in ("total", "all"):
        counts.pop(bookkeeping, None)
    return counts


def started(folder: Path, before: Path, after: Path) -> Counter[str]:
    """Jobs, one a case, that a run of the config ``after`` starts behind a finished one of ``before``, by rule."""
    folder.mkdir(parents=True, exist_ok=True)
    many = folder / "many.yaml"
    many.write_text(yaml.safe_dump({"compute": {"jobs": "many"}}))
    one, other = (plan_jobs([config, many], folder) for config in (before, after))
    changed = changed_jobs(one, other)
    return Counter(job.rule for job in [*changed, *following(changed)])


def changed_config(folder: Path, config: Path, **changes: object) -> Path:
    """A copy of ``config`` with dotted keys changed: ``changed_config(f, c, **{"probe.epochs": 3})``."""
    values = yaml.safe_load(config.read_text())
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {}) if place.get(parent) is not None else _fill(place, parent)
        place[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"changed-{len(list(folder.glob('changed-*.yaml')))}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def _fill(place: dict, key: str) -> dict:
    place[key] = {}
    return place[key]


def compare_runs(one: Path, other: Path) -> None:
    """Tables, gene lists and prediction values of two runs are the same."""
    for pattern in ("tables/*.csv", "*/*/genes/fold*.tsv", "*/*/splits/*.csv", "cohort/*.tsv"):
        files = sorted(path.relative_to(one) for path in one.glob(pattern))
        assert files
        for path in files:
            assert (one / path).read_text() == (other / path).read_text(), path
    predictions = sorted(path.relative_to(one) for path in one.glob("predictions/*/*/*/*/*/fold*.parquet"))
    assert predictions
    for path in predictions:
        pd.testing.assert_frame_equal(pd.read_parquet(one / path), pd.read_parquet(other / path), check_exact=True)
