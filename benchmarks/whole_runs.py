"""Whole runs of this checkout beside those of another commit's: wall and CPU seconds, medians, jobs.

    git worktree add ../before 1e56471
    python benchmarks/whole_runs.py ../before --runs tiny demo
    python benchmarks/whole_runs.py ../before --runs nsclc --repeats 1 # hours; needs ../shared

Both run the other checkout's config, in turns, with the same interpreter, in fresh folders, on --cores cores with
profiles/small. CPU seconds are those of every process of a run. Prints name=value lines last: ratios are the other's
seconds over ours.
"""

import argparse
import contextlib
import ctypes
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36
CONFIGS = "tests/workflow/configs"
FILES = {
    "demo": ["config/config.yaml"],
    "tiny": [f"{CONFIGS}/tiny.yaml"],
    "nsclc": [f"{CONFIGS}/tcga_nsclc.yaml", f"{CONFIGS}/tcga_methods.yaml"],
    "brca": [f"{CONFIGS}/tcga_brca.yaml", f"{CONFIGS}/tcga_methods.yaml"],
}
OF_THEN = {name: {"network": {"form": "before-1.0"}} for name in ("ilra-mil", "porpoise", "survpath")}
OURS = {
    "nsclc": {"cohorts": {"nsclc": {"slides": {"mixed": ["02"]}}}, "methods": OF_THEN},
    "brca": {"methods": OF_THEN},
}
"""What this checkout is told beside the other's config: a slide of a recurrent tumour is meant, and networks have the
layers of then, as they have had those of their public code since."""
JOBS = re.compile(rb"of (\d+) steps \(100%\) done")


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    wall_s: float
    cpu_s: float
    jobs: int


def merged(files: list[Path]) -> dict:
    """The configs, later ones over earlier ones, less the table of optimism."""
    config: dict = {}
    for file in files:
        _merge(config, yaml.safe_load(file.read_text()))
    if len(files) > 1:
        config["evaluation"].pop("optimism", None)
    return config


def _merge(into: dict, more: dict) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def run(checkout: Path, config: dict, cores: int, shared: Path) -> Cost:
    """Run the workflow of a checkout from nothing. Raises CalledProcessError where it fails, with its last words."""
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "shared").symlink_to(shared)
        folder = Path(root) / "run"
        folder.mkdir()
        (folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile"), "--cores", str(cores)]
        command += ["--configfile", "run.yaml", "--workflow-profile", str(checkout / "profiles" / "small")]
        environment = {**os.environ, "PYTHONPATH": str(checkout / "workflow")}
        before, started = _cpu_s(), time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, stdout=-1, stderr=subprocess.STDOUT, check=False)
        wall = time.perf_counter() - started
        if done.returncode:
            sys.stderr.write(done.stdout.decode(errors="replace")[-4000:])
            done.check_returncode()
        _wait_for_the_last()
        (jobs,) = JOBS.findall(done.stdout)[-1:]
        return Cost(wall, _cpu_s() - before, int(jobs))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_the_last() -> None:
    """Processes that outlived their run became ours: their seconds count once they have ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def in_turns(other: Path, configs: dict[Path, dict], arguments: argparse.Namespace) -> Iterator[tuple[Cost, Cost]]:
    """The costs of the other checkout and of this one, each by its config, a pair a repeat."""
    for repeat in range(arguments.repeats):
        order = (other, ROOT) if repeat % 2 == 0 else (ROOT, other)
        costs = {path: run(path, configs[path], arguments.cores, arguments.shared.resolve()) for path in order}
        print(f"repeat {repeat + 1}: other {costs[other]}, this {costs[ROOT]}", file=sys.stderr, flush=True)
        yield costs[other], costs[ROOT]


def figures(name: str, pairs: list[tuple[Cost, Cost]]) -> dict[str, float]:
    """Medians and ratios of a kind of run."""
    found: dict[str, float] = {}
    for key, ratio in (("wall_s", f"{name}_ratio"), ("cpu_s", f"{name}_cpu_ratio")):
        other, this = (statistics.median(getattr(pair[side], key) for pair in pairs) for side in (0, 1))
        found |= {f"{name}_{key}_other": other, f"{name}_{key}_this": this, ratio: other / this}
    return found | {f"{name}_jobs_other": pairs[0][0].jobs, f"{name}_jobs": pairs[0][1].jobs}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--runs", nargs="+", choices=FILES, default=["tiny", "demo"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    other = arguments.other.resolve()
    found: dict[str, float] = {}
    for name in arguments.runs:
        files = [other / file for file in FILES[name]]
        configs = {other: merged(files), ROOT: merged(files)}
        _merge(configs[ROOT], OURS.get(name, {}))
        found |= figures(name, list(in_turns(other, configs, arguments)))
    for name, value in found.items():
        print(f"{name}={value:.4g}")


if __name__ == "__main__":
    main()
