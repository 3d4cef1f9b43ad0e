"""The tiny cohort through a real Slurm, with jobs cancelled, out of memory and on a drained node on its way.

One run meets all of it (a job costs seconds of start-up); each test looks at one thing of that run.
"""

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner import CONFIGS, ROOT, changed_config, command, compare_runs, copy_run, succeed
from slurm_cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(3600)]

ON_GPUS = {"extract_features", "pretrain_mirror", "embed"}
RESULTS = "results/tiny/tables/results.csv"
"""What the main tables are written from, without their jobs."""
ALIKE = ["--max-threads", "1", "--latency-wait", "5"]
"""What the local run and the cluster's have in common: values are equal for equal threads."""
LITTLE = "embed:mem_mb=350*attempt**3"
"""Too little for torch at first, then eight times as much."""
FOLDS = 2
LIMIT_S = 2000
"""Three to four minutes on two free cores; other work on the machine makes it longer."""


@dataclass
class Story:
    """A run through Slurm: where it lies, what Snakemake and Slurm said, and what was seen on the way."""

    folder: Path
    said: str = ""
    jobs: list[dict[str, str]] = field(default_factory=list)
    encoded: dict[Path, int] = field(default_factory=dict)
    queued: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)

    def of(self, rule: str) -> list[dict[str, str]]:
        """Slurm's jobs of a rule, in the order of submission."""
        return [job for job in self.jobs if rule_of(job) == rule]


def rule_of(job: dict[str, str]) -> str:
    """The rule that a job of Slurm serves (the plugin writes it into the job's comment)."""
    return re.sub(r"_wildcards_.*", "", job["Comment"]).removeprefix("rule_")


def memory_mb(job: dict[str, str]) -> float:
    """Memory a job was given."""
    number, unit = re.search(r"\bmem=([\d.]+)([MG])", job["TRES"]).groups()
    return float(number) * {"M": 1, "G": 1024}[unit]


def minutes(job: dict[str, str]) -> int:
    """Time a job was given."""
    days, clock = job["TimeLimit"].rpartition("-")[::2]
    hours, mins, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + mins


def features(folder: Path) -> dict[Path, int]:
    """Finished feature files and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "store/features").glob("*/*/*/[!.]*.h5")}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cohort with few jobs, and a training long enough to be caught at it."""
    changes = {
        "protocols": {"honest": {}},
        "methods": {"majority": None, "mirror": None},
        "pretrain.epochs": 500,  # the first checkpoint comes after five seconds
        "evaluation": {"bootstrap": 20, "shots": [], "reference": "majority"},
    }
    return changed_config(tmp_path_factory.mktemp("config"), CONFIGS / "tiny.yaml", **changes)


@pytest.fixture(scope="module")
def local(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the same run without Slurm."""
    folder = tmp_path_factory.mktemp("local")
    succeed(folder, config, RESULTS, *ALIKE)
    return folder / "results/tiny"


@pytest.fixture(scope="module")
def story(cluster: Cluster, config: Path, local: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The run through Slurm, from the slides on, with everything that befalls it."""
    seen = Story(tmp_path_factory.mktemp("cluster"))
    shutil.copytree(local.parents[1] / "store/simulated", seen.folder / "store/simulated")
    arguments = [RESULTS, *ALIKE, "--workflow-profile", str(ROOT / "profiles/slurm"), "--set-resources", LITTLE]
    often = ["--slurm-init-seconds-before-status-checks", "1", "--slurm-keep-successful-logs"]
    log = seen.folder / "snakemake.log"
    with log.open("w") as out:
        started = subprocess.Popen(
            command(seen.folder, config, *arguments, *often),
            cwd=seen.folder,
            stdout=out,
            stderr=out,
            env=dict(cluster.environment),
        )
        until = Patience(started, log)
        try:
            befall(seen, cluster, until)
            assert started.wait(until.left()) == 0, log.read_text()[-6000:]
        finally:
            started.kill()
            started.wait()
    seen.said = log.read_text()
    seen.jobs = sorted(cluster.jobs(), key=lambda job: int(job["JobId"]))
    return seen


@dataclass
class Patience:
    """Waits for moments of a run, as long as it lives and time is left."""

    started: subprocess.Popen[bytes]
    log: Path
    deadline: float = field(default_factory=lambda: time.monotonic() + LIMIT_S)

    def left(self) -> float:
        """Seconds that are left."""
        return max(1.0, self.deadline - time.monotonic())

    def __call__(self, ready: Callable[[], object], what: str) -> None:
        while not ready():
            assert self.started.poll() is None, f"ended before {what}: {self.log.read_text()[-6000:]}"
            assert time.monotonic() < self.deadline, f"never came: {what}: {self.log.read_text()[-6000:]}"
            time.sleep(0.05)


def befall(seen: Story, cluster: Cluster, until: Patience) -> None:
    """Cancel a shard's job amid its slides; drain the node and pre-empt a training amid its epochs; give it back."""
    until(lambda: len(features(seen.folder)) >= 2, "two encoded slides")
    cluster.ask("scancel", task_of(running(cluster, "extract_features")))
    seen.encoded = features(seen.folder)

    until(lambda: checkpoints(seen.folder), "a checkpoint")
    preempted = running(cluster, "pretrain_mirror")["JobId"]
    cluster.drain()
    cluster.ask("scontrol", "requeue", preempted)
    # One fold's genes may be seen a look later than the other's, and so its training submitted.
    until(lambda: len(states(cluster)) == FOLDS, "both trainings submitted")
    until(lambda: state(cluster, preempted) == "PENDING", "a training back in the queue")
    seen.drained = states(cluster)
    cluster.resume()
    until(lambda: "RUNNING" in states(cluster), "a training on the node that was given back")
    seen.queued = states(cluster)


def states(cluster: Cluster) -> list[str]:
    """States of the trainings' jobs."""
    return [job["JobState"] for job in cluster.jobs_of("pretrain_mirror")]


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of trainings under way."""
    return list(folder.glob("results/tiny/*/*/models/*/*/*/*/checkpoint.*"))


def running(cluster: Cluster, rule: str) -> dict[str, str]:
    """The running job of a rule on the GPU."""
    found = [job for job in cluster.jobs_of(rule) if job["JobState"] == "RUNNING"]
    assert len(found) == 1, f"one GPU, so one running job of {rule}: {found}"
    return found[0]


def task_of(job: dict[str, str]) -> str:
    """What scancel knows a job by: tasks of an array go by array and task, their own ids are refused."""
    return f"{job['ArrayJobId']}_{job['ArrayTaskId']}" if "ArrayJobId" in job else job["JobId"]


def state(cluster: Cluster, job: str) -> str:
    """State of a job of Slurm."""
    return next(other["JobState"] for other in cluster.jobs() if other["JobId"] == job)


def test_tables_equal_those_of_the_local_run(story: Story, local: Path) -> None:
    compare_runs(local, story.folder / "results/tiny")


def test_gpu_jobs_got_a_gpu_and_cpu_jobs_did_not(story: Story) -> None:
    assert {rule_of(job) for job in story.jobs} > ON_GPUS
    for job in story.jobs:
        asked, got = (job.get(key, "") for key in ("TresPerJob", "JOB_GRES"))
        expected = ("gres:gpu:1", "gpu:1") if rule_of(job) in ON_GPUS else ("", "(null)")
        assert (asked, got) == expected, job


def test_slurm_queues_gpu_jobs_and_not_snakemake(story: Story) -> None:
    assert sorted(story.queued) == ["PENDING", "RUNNING"], "both folds are submitted, though the node has one GPU"


def test_patch_shards_are_one_array(story: Story) -> None:
    patches = story.of("patch_slides")
    assert len({job["ArrayJobId"] for job in patches}) == 1
    assert sorted(job["ArrayTaskId"] for job in patches) == ["1", "2"]


def test_cancelled_shard_goes_on_with_more_and_redoes_no_slide(story: Story) -> None:
    jobs = story.of("extract_features")
    first = next(job for job in jobs if job["JobState"] == "CANCELLED")
    again = jobs[-1]
    assert int(again["JobId"]) > int(first["JobId"])
    assert again["JobState"] == "COMPLETED"
    assert memory_mb(again) == pytest.approx(2 * memory_mb(first), rel=1e-3), "an array's tasks get a MB more"
    assert minutes(again) == 2 * minutes(first)
    assert len(story.encoded) >= 2
    now = features(story.folder)
    assert {path: now[path] for path in story.encoded} == story.encoded


def test_job_over_its_memory_is_killed_and_gets_more(story: Story, cluster: Cluster) -> None:
    first, again = story.of("embed")
    assert (memory_mb(first), memory_mb(again)) == (350, 2800)
    assert first["JobState"] in {"FAILED", "OUT_OF_MEMORY"}
    assert again["JobState"] == "COMPLETED"
    logs = "\n".join(path.read_text() for path in story.folder.glob(f".snakemake/slurm_logs/**/{first['JobId']}.log"))
    assert re.search(r"exceeded (job )?memory limit", logs), logs[-3000:]


def test_drained_node_and_preemption_lose_no_checkpoint(story: Story) -> None:
    assert story.drained == ["PENDING", "PENDING"], "nothing starts on a drained node"
    trainings = story.of("pretrain_mirror")
    assert [job["JobState"] for job in trainings] == ["COMPLETED", "COMPLETED"]
    assert sorted(job["Restarts"] for job in trainings) == ["0", "1"], "Slurm itself started it again"
    logs = "\n".join(path.read_text() for path in story.folder.glob("results/tiny/logs/pretrain_mirror/**/*.log"))
    assert logs.count("epochs kept from an earlier run") == 1


def test_each_other_job_ran_once(story: Story) -> None:
    counts = Counter(rule_of(job) for job in story.jobs)
    assert counts.pop("extract_features") == 3
    assert counts.pop("embed") == 2
    others = [job for job in story.jobs if rule_of(job) in counts]
    assert {job["JobState"] for job in others} == {"COMPLETED"}
    assert story.said.count("Trying to restart job") == 2
    assert len(others) == len({(job["Comment"], job.get("ArrayTaskId")) for job in others})


def test_one_job_serves_every_fold_where_the_config_says_so(
    cluster: Cluster, config: Path, local: Path, tmp_path: Path
) -> None:
    """The models are there; their records and the embeddings are not."""
    folder = copy_run(local.parents[1], tmp_path / "run")
    results = folder / "results/tiny"
    models = {path: path.stat().st_mtime_ns for path in results.glob("*/*/models/**/model.safetensors")}
    gone = [*results.glob("*/*/models/**/done.json"), *results.glob("*/*/embeddings/**/done.json")]
    for path in gone:
        path.unlink()
    few, known = changed_config(tmp_path, config, **{"compute.jobs": "few"}), len(cluster.jobs())
    slurm = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--slurm-init-seconds-before-status-checks", "1"]
    arguments = [*(str(path.relative_to(folder)) for path in gone), *ALIKE, *slurm]
    done = subprocess.run(
        command(folder, few, *arguments), cwd=folder, capture_output=True, text=True, env=dict(cluster.environment)
    )
    assert done.returncode == 0, done.stderr[-6000:]
    made = Counter(rule_of(job) for job in sorted(cluster.jobs(), key=lambda job: int(job["JobId"]))[known:])
    assert (made["pretrain_mirror"], made["embed"]) == (1, 1)
    assert models
    assert len(gone) == FOLDS + 1
    assert all(path.exists() for path in gone)
    assert {path: path.stat().st_mtime_ns for path in models} == models, "kept"
    compare_runs(local, results)
