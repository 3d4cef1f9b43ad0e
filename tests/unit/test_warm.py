"""Jobs that a warm process forks: the same as in a process of their own, and nobody outlives the other."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mirrorflow.runtime import warm

HERE = Path(__file__).parent
LIMIT_S = 60
CLIENT = """
import sys, warm_jobs
from types import SimpleNamespace
from mirrorflow.runtime.warm import run_in_warm_process
given = SimpleNamespace(rule="a_rule", threads={threads}, resources={{}})
status = run_in_warm_process(warm_jobs.{job}, given)
sys.exit(99 if status is None else status)
"""
OWNER = """
import os, signal, subprocess, sys, time
os.setpgid(0, 0)
subprocess.Popen([sys.executable, "-m", "mirrorflow.runtime.warm", *sys.argv[1:]])
signal.signal(signal.SIGINT, lambda *_: None)
while True:
    time.sleep(100)
"""
PATHS = os.pathsep.join([str(HERE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def address() -> Iterator[Path]:
    """A warm process that has imported little, whose owner lives as long as the tests of this module."""
    with owned() as (made, _):
        yield made


@contextlib.contextmanager
def owned() -> Iterator[tuple[Path, subprocess.Popen]]:
    """A warm process and its owner, which is killed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # a socket's path is short
    address = folder / "jobs"
    environment = {**os.environ, "PYTHONPATH": PATHS, **dict.fromkeys(warm.THREADS, "1")}
    with subprocess.Popen([sys.executable, "-c", OWNER, str(address), "torch"], env=environment) as owner:
        until(address.exists)
        yield address, owner
        owner.kill()
    until(lambda: not folder.exists())


def client(address: Path, job: str, folder: Path, threads: int = 1) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": PATHS, "SAID": "hello"}
    environment[warm.VARIABLE] = warm.named(address)
    code = CLIENT.format(job=job, threads=threads)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def outcome(address: Path, job: str, folder: Path, threads: int = 1) -> tuple[int, str, str]:
    process = client(address, job, folder, threads)
    said, beside = process.communicate(timeout=LIMIT_S)
    return process.returncode, said, beside


def test_a_job_has_the_folder_environment_and_terminal_of_its_script(address: Path, tmp_path: Path):
    assert outcome(address, "say_where", tmp_path) == (0, f"{tmp_path} hello in a_rule\n", "beside\n")


def test_its_status_is_the_scripts(address: Path, tmp_path: Path):
    assert outcome(address, "end_with_three", tmp_path) == (3, "", "")
    status, _, said = outcome(address, "fail", tmp_path)
    assert status == 1
    assert said.startswith("Traceback")
    assert said.endswith("ValueError: something nobody thought of\n")


def test_one_that_is_killed_fails_its_script(address: Path, tmp_path: Path):
    assert outcome(address, "be_killed", tmp_path)[0] == 137


def test_a_job_changes_nothing_for_the_next(address: Path, tmp_path: Path):
    assert outcome(address, "change_everything", tmp_path)[0] == 0
    assert outcome(address, "say_where", tmp_path)[1].endswith("hello in a_rule\n")


@pytest.mark.parametrize("threads", [1, 3])
def test_it_computes_on_the_threads_of_its_rule(address: Path, tmp_path: Path, threads: int):
    assert outcome(address, "count_threads", tmp_path, threads)[1] == f"{threads}\n"


def test_a_job_looks_for_no_garbage_among_what_was_imported(address: Path, tmp_path: Path):
    """It would copy the memory of all of it: a CPU second a job."""
    assert outcome(address, "say_whether_frozen", tmp_path)[1] == "True\n"


def test_it_can_start_processes_of_its_own(address: Path, tmp_path: Path):
    assert outcome(address, "ask_a_spawned_process", tmp_path)[:2] == (0, f"SpawnProcess of {tmp_path.name}\n")


def test_a_job_and_its_children_die_with_its_script(address: Path, tmp_path: Path):
    script = client(address, "last", tmp_path)
    until(lambda: len((tmp_path / "ids").read_text().split()) == 2 if (tmp_path / "ids").exists() else False)
    jobs = [psutil.Process(int(number)) for number in (tmp_path / "ids").read_text().split()]
    script.kill()
    script.communicate(timeout=LIMIT_S)
    _, alive = psutil.wait_procs(jobs, timeout=LIMIT_S)
    assert not alive


def test_a_ctrl_c_ends_jobs_and_not_the_warm_process(tmp_path: Path):
    with owned() as (address, owner):
        script = client(address, "last", tmp_path)
        until(lambda: len((tmp_path / "ids").read_text().split()) == 2 if (tmp_path / "ids").exists() else False)
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does; the client is in another group
        assert "KeyboardInterrupt" in script.communicate(timeout=LIMIT_S)[1]
        assert script.returncode == 1
        assert outcome(address, "say_where", tmp_path)[0] == 0


def test_it_ends_without_a_word(tmp_path: Path):
    code = (
        "import subprocess, sys\np = subprocess.Popen([sys.executable, '-m', 'mirrorflow.runtime.warm', sys.argv[1], "
    )
    code += "'torch._inductor.utils'], stderr=open(sys.argv[2], 'w'))\nprint(p.pid)\nimport time, pathlib\n"
    code += "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)\n"
    address = Path(tempfile.mkdtemp(prefix="warm-")) / "jobs"
    owner = subprocess.run([sys.executable, "-c", code, address, tmp_path / "said"], stdout=-1, text=True, check=True)
    until(lambda: not psutil.pid_exists(int(owner.stdout)))
    assert (tmp_path / "said").read_text() == ""


def test_it_ends_with_its_owner(tmp_path: Path):
    with owned() as (address, owner):
        (server,) = psutil.Process(owner.pid).children()
        owner.kill()
        _, alive = psutil.wait_procs([server], timeout=LIMIT_S)
        assert not alive
        assert outcome(address, "say_where", tmp_path)[0] == 99, "then scripts work by themselves"


def test_it_ends_with_its_owner_before_it_is_ready(tmp_path: Path):
    """Its imports take seconds, on a busy machine many."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    code = "import subprocess, sys, time\np = subprocess.Popen([sys.executable, '-m', 'mirrorflow.runtime.warm', "
    code += "sys.argv[1], 'slow'])\nprint(p.pid, flush=True)\ntime.sleep(600)\n"
    address = Path(tempfile.mkdtemp(prefix="warm-")) / "jobs"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", code, str(address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}) as owner:
        server = psutil.Process(int(owner.stdout.readline()))
        until(lambda: len(server.threads()) > 1)  # the one that looks after the owner
        owner.kill()
    _, alive = psutil.wait_procs([server], timeout=LIMIT_S)
    assert not alive
    assert not address.parent.exists()


def test_it_ends_with_an_owner_that_died_before_it_began():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(LIMIT_S)
    address = Path(tempfile.mkdtemp(prefix="warm-")) / "jobs"
    command = [sys.executable, "-m", "mirrorflow.runtime.warm", str(address), "json"]
    subprocess.run(command, env=os.environ | {warm.OWNER: str(gone.pid)}, timeout=LIMIT_S, check=True)
    assert not address.parent.exists()


@pytest.mark.parametrize("value", [None, "off", warm.named(Path("/nowhere/jobs")), "/nowhere/jobs:/bin/py"])
def test_without_one_a_script_works_by_itself(value: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(warm.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(warm.VARIABLE, value)
    assert warm.run_in_warm_process(print, SimpleNamespace(rule="a_rule", threads=1, resources={})) is None


def test_neither_another_interpreters_nor_another_checkouts_does_a_job(address: Path, monkeypatch: pytest.MonkeyPatch):
    given = SimpleNamespace(rule="no_gpu", threads=1, resources={})
    for mine, other in ((sys.executable, "/bin/python"), (warm.CODE, "/another/checkout")):
        monkeypatch.setenv(warm.VARIABLE, warm.named(address).replace(mine, other))
        assert warm.run_in_warm_process(time.sleep, given) is None
    monkeypatch.setenv(warm.VARIABLE, warm.named(address))
    assert warm.run_in_warm_process(time.sleep, given) == 1, "sleep got no number"


def test_one_that_is_there_serves_a_second_run(address: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(warm.VARIABLE, warm.named(address))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    warm.start_warm_process(100)
    assert os.environ[warm.VARIABLE] == warm.named(address)


def test_one_that_is_gone_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(warm.VARIABLE, warm.named(tmp_path / "gone" / "jobs"))
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    warm.start_warm_process(100)
    assert started[0][-1] == os.environ[warm.VARIABLE].partition(os.pathsep)[0]


def test_a_gpus_job_works_by_itself(address: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(warm.VARIABLE, warm.named(address))
    driver = tmp_path / "version"
    monkeypatch.setattr(warm, "GPU_DRIVER", driver)
    given = SimpleNamespace(rule="a_rule", threads=1, resources={"gpu": 1})
    assert warm.run_in_warm_process(time.sleep, SimpleNamespace(**{**vars(given), "rule": "no_gpu"})) == 1
    driver.touch()
    assert warm.run_in_warm_process(time.sleep, given) is None


def test_a_job_that_wants_torch_waits_for_the_imports_and_no_other_does(address: Path, monkeypatch: pytest.MonkeyPatch):
    """They would take it as long; whoever needs a tenth of them starts by itself meanwhile."""
    late = Path(tempfile.mkdtemp(prefix="mirrorflow-late-")) / "jobs"
    monkeypatch.setattr(warm, "GPU_DRIVER", late)
    monkeypatch.setenv(warm.VARIABLE, warm.named(late))
    torch, plain = (SimpleNamespace(rule="a_rule", threads=1, resources=one) for one in ({"gpu": 1}, {}))
    assert warm.run_in_warm_process(time.sleep, plain) is None
    coming = threading.Timer(0.3, late.symlink_to, [address])
    coming.start()
    assert warm.run_in_warm_process(time.sleep, torch) == 1, "sleep got no number"
    shutil.rmtree(late.parent)
    assert warm.run_in_warm_process(time.sleep, torch) is None


@pytest.mark.parametrize("ends", [True, False])
def test_nobody_waits_for_one_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ends: bool):
    (tmp_path / "warm").mkdir()
    if ends:
        threading.Timer(0.2, (tmp_path / "warm").rmdir).start()
    monkeypatch.setattr(warm, "MOST_S", 30 if ends else 0.2)
    begun = time.monotonic()
    warm._wait_until_ready(tmp_path / "warm" / "jobs")
    assert 0.1 < time.monotonic() - begun < 20


def test_one_that_cannot_import_leaves_no_address(tmp_path: Path):
    (tmp_path / "warm").mkdir()
    command = [sys.executable, "-m", "mirrorflow.runtime.warm", str(tmp_path / "warm" / "jobs"), "no_such_module"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert "no_such_module" in done.stderr
    assert not (tmp_path / "warm").exists()


@pytest.mark.parametrize(("jobs", "value"), [(warm.FEW_JOBS - 1, None), (100, "off")])
def test_few_jobs_start_none_and_neither_does_who_says_off(
    jobs: int, value: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(warm.VARIABLE, raising=False)
    if value:
        monkeypatch.setenv(warm.VARIABLE, value)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    warm.start_warm_process(jobs)
    assert os.environ.get(warm.VARIABLE) == value


def test_it_imports_a_package_with_all_its_modules():
    code = "import sys\nfrom mirrorflow.runtime.warm import _import\n_import(['mirrorflow.metrics'])\n"
    code += "print(*sorted(name for name in sys.modules if name.startswith('mirrorflow.metrics')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = sorted(path.stem for path in Path(warm.__file__).parents[1].glob("metrics/[a-z]*.py"))
    assert done.stdout.split() == ["mirrorflow.metrics", *(f"mirrorflow.metrics.{name}" for name in modules)]
