"""A real Slurm on this machine, for as long as a test needs it: munge, slurmctld and one slurmd with a pretended GPU.

Nothing is installed and no system folder is touched: keys, sockets, states and logs lie in one folder, ports are
free ones, the daemons belong to whoever runs the tests. `/dev/zero` plays the GPU: Slurm hands it out like one.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
START_S = 60


def missing() -> str:
    """Why no Slurm can be started here, or nothing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(absent)} (Debian: apt-get install slurm-wlm munge)" if absent else ""


@dataclass(frozen=True)
class Cluster:
    """One node, one partition; ``environment`` makes Slurm's commands talk to it."""

    folder: Path
    environment: Mapping[str, str]

    def ask(self, *command: str) -> str:
        """Standard output of one of Slurm's commands; raises CalledProcessError with its message when it fails."""
        done = subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job Slurm has seen, by `scontrol`'s own keys (JobId, Comment, JobState, TRES, MinMemoryNode, ...)."""
        lines = self.ask("scontrol", "show", "job", "--oneliner", "--details").splitlines()
        return [_fields(line) for line in lines if line.startswith("JobId=")]

    def jobs_of(self, rule: str) -> list[dict[str, str]]:
        """Jobs of a rule of the workflow, in the order of their submission."""
        found = [job for job in self.jobs() if f"rule_{rule}_" in f"{job.get('Comment', '')}_"]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def drain(self) -> None:
        """No job starts any more; those that run go on."""
        self.ask("scontrol", "update", "NodeName=localhost", "State=DRAIN", "Reason=test")

    def resume(self) -> None:
        """Jobs start again."""
        self.ask("scontrol", "update", "NodeName=localhost", "State=RESUME")


@contextlib.contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """A running cluster with its files in ``folder`` (a short path: sockets allow 107 characters).

    Raises RuntimeError with the daemons' own words when it does not come up.
    """
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))},
        "PATH": f"{_srun_that_finds(folder)}{os.pathsep}{PATH}",
        "SLURM_CONF": str(folder / "slurm.conf"),
        "USER": getpass.getuser(),
    }
    cluster = Cluster(folder, environment)
    _write_key(folder)
    _write_conf(folder, cpus)
    commands = {
        # --force: only this user needs to reach the socket, so its folder may be private
        "munged": ["munged", "--foreground", "--force", *_munge_files(folder)],
        "slurmctld": ["slurmctld", "-D"],
        "slurmd": ["slurmd", "-D", "-N", "localhost"],
    }
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.out").open("wb") as out:
                daemons.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment))
            if name == "munged":
                _until((folder / "munge.socket").exists, folder, daemons)
        _until(lambda: "idle" in _states(cluster), folder, daemons)
        yield cluster
    finally:
        _stop(cluster, daemons)


def _srun_that_finds(folder: Path) -> Path:
    """Folder with an `srun` that knows the configuration: the plugin's job step drops SLURM_CONF before it calls it."""
    script = folder / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nSLURM_CONF={folder / "slurm.conf"} exec {shutil.which("srun", path=PATH)} "$@"\n')
    script.chmod(0o755)
    return script.parent


def _fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.split() if "=" in part)


def _write_key(folder: Path) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))


def _munge_files(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [f"--{option}={folder / f'munge.{name}'}" for option, name in files.items()]


def _write_conf(folder: Path, cpus: int) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = _free_ports(2)
    user = getpass.getuser()
    lines = {
        "ClusterName": "mirrorflow",
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmdPort": ports[1],
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        # a job put back into the queue waits for its old credential to expire: 10 s instead of two minutes
        "AuthInfo": f"socket={folder / 'munge.socket'},cred_expire=10",
        "CredType": "cred/munge",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "TaskProlog": folder / "task_prolog.sh",
        "MpiDefault": "none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "GresTypes": "gpu",
        # no slurmdbd; jobs over their memory are killed, and stay visible for the tests' fold tasks
        "AccountingStorageType": "accounting_storage/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=1",
        "JobAcctGatherParams": "OverMemoryKill",
        "MinJobAge": 3600,
        "KillWait": 2,
        "ReturnToService": 2,
        "SlurmdParameters": "config_overrides",
        "NodeName": f"localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=200000 Gres=gpu:1 State=UNKNOWN",
        "PartitionName": "main Nodes=localhost Default=YES MaxTime=INFINITE State=UP",
    }
    (folder / "slurm.conf").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    # Its GPU is no device: jobs get it from Slurm, and are told to compute on the CPU all the same.
    (folder / "task_prolog.sh").write_text("#!/bin/sh\necho export CUDA_VISIBLE_DEVICES=-1\n")
    (folder / "task_prolog.sh").chmod(0o755)
    (folder / "gres.conf").write_text("NodeName=localhost Name=gpu Count=1 File=/dev/zero\n")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _states(cluster: Cluster) -> str:
    try:
        return cluster.ask("sinfo", "--noheader", "--format=%T")
    except subprocess.CalledProcessError:
        return ""


def _until(ready, folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if any(daemon.poll() is not None for daemon in daemons) or time.monotonic() > deadline:
            said = "\n".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.out")))
            message = f"Slurm did not start in {folder}:\n{said}"
            raise RuntimeError(message)
        time.sleep(0.2)


def _stop(cluster: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """End jobs and daemons, politely and then not; what Slurm started is known by its SLURM_CONF."""
    with contextlib.suppress(subprocess.CalledProcessError):
        cluster.ask("scancel", "--user", getpass.getuser(), "--full")
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(10)
    left = [daemon for daemon in daemons if daemon.poll() is None]
    for process in [*left, *_started_by(cluster)]:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.kill()
    for daemon in left:
        daemon.wait()


def _started_by(cluster: Cluster) -> list[psutil.Process]:
    mine = cluster.environment["SLURM_CONF"]
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == mine:
                found.append(process)
    return found
