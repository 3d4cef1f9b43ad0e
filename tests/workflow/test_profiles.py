"""Profiles and the rules' requests: what a cluster is asked for, and that jobs run through any scheduler's scripts."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser
from tests.slide_factory import simple, write_svs

from runner import CONFIGS, ROOT, planned, run, run_as_a_user

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
PROFILES = ROOT / "profiles"
ON_GPUS = {
    "extract_features", "pretrain_mirror", "embed", "train_supervised", "measure_complexity", "probe_sensitivity",
    "embed_target", "adapt",
}  # fmt: skip


def rules() -> dict[str, str]:
    """Text of each rule of the workflow, by name."""
    found = {}
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            name = text[len("rule ") : text.index(":")]
            found[name] = text
    return found


def submitted() -> dict[str, str]:
    """Rules that become jobs of the cluster."""
    return {name: text for name, text in rules().items() if "localrule: True" not in text}


def said_by(profile: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "MIRRORFLOW_GPU_PARTITION", "MIRRORFLOW_SUBMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = run(folder, TINY, "--dry-run", "--workflow-profile", str(PROFILES / profile))
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def resources(said: str, rule: str) -> str:
    """The line of resources of a rule's first job in a dry run."""
    job = said[said.index(f"\nrule {rule}:") :]
    return re.search(r"^ +resources: (.*)$", job, re.MULTILINE)[1]


@pytest.mark.parametrize("name", sorted(submitted()))
def test_memory_and_time_grow_with_each_attempt(name: str) -> None:
    asked = submitted()[name]
    assert re.search(r"\bmem_mb=(\w+\.)?growing\(\d+", asked), (
        "say mem_mb=growing(<MB>): a job killed for memory gets more"
    )
    assert re.search(r"\bruntime=(growing|\w+\.lasting)\(\d+", asked), (
        "say runtime=growing(<minutes>): a job out of time gets more"
    )


def test_rules_on_gpus_are_known_to_the_slurm_profile() -> None:
    on_gpus = {name for name, text in submitted().items() if re.search(r"\bgpu=", text)}
    assert on_gpus >= ON_GPUS
    profile = (PROFILES / "slurm/profile.yaml").read_text()
    of_gpu_partition = profile[profile.index("set-resources:") :]
    assert set(re.findall(r"^    (\w+):$", of_gpu_partition, re.MULTILINE)) == on_gpus


@pytest.mark.parametrize("profile", ["default", "small", "slurm", "generic"])
def test_every_setting_has_its_reason(profile: str) -> None:
    for paragraph in (PROFILES / profile / "profile.yaml").read_text().split("\n\n"):
        assert "#" in paragraph, f"say why: {paragraph}"


def test_small_differs_from_default_in_threads_and_gpus_alone() -> None:
    default, small = parsed("default"), parsed("small")
    threads = {rule.removesuffix("=1") for rule in small.pop("set-threads")}
    threads |= {rule.removesuffix(":case_threads=1") for rule in small.pop("set-resources")}
    side_by_side = {"train_supervised", "embed"}
    assert threads == ON_GPUS - {"extract_features", "measure_complexity"} - side_by_side | {"select_genes"}
    assert {key for key in default | small if default.get(key) != small.get(key)} == {"resources"}


@pytest.mark.parametrize("profile", ["slurm", "generic"])
def test_a_cluster_runs_again_by_content_too(profile: str) -> None:
    for key in ("rerun-triggers", "max-checksum-file-size"):
        assert parsed(profile)[key] == parsed("default")[key]


def parsed(profile: str) -> dict[str, Any]:
    with (PROFILES / profile / "profile.yaml").open() as stream:
        return ProfileConfigFileParser().parse(stream)


def test_slurm_does_not_inherit_the_default_profile_s_single_gpu(tmp_path, monkeypatch) -> None:
    said = said_by("slurm", tmp_path, monkeypatch)
    assert "gpu=1" in resources(said, "pretrain_mirror")
    assert "gpu" not in resources(said, "audit")
    assert "resources" in parsed("default")
    assert "resources" not in parsed("slurm")


@pytest.mark.parametrize(
    ("arguments", "trainings"),
    [
        ([], 1),
        (["--jobs", "4"], 1),
        (["--jobs", "4", "--default-resources", "mem_mb=500"], 1),
        (["--workflow-profile", str(PROFILES / "slurm")], 12),
        (["--workflow-profile", str(PROFILES / "generic")], 12),
        (["--executor", "slurm", "--jobs", "4"], 12),
    ],
    ids=["here", "jobs for cores", "with resources", "slurm", "generic", "by executor"],
)
def test_jobs_are_few_here_and_many_on_a_cluster(tmp_path, arguments: list[str], trainings: int) -> None:
    assert planned(tmp_path / "run", TINY, *arguments)["pretrain_mirror"] == trainings


def test_account_and_partitions_come_from_the_environment(tmp_path, monkeypatch) -> None:
    said = said_by("slurm", tmp_path, monkeypatch)
    assert "slurm_account" not in said
    assert "slurm_partition" not in said
    said = said_by(
        "slurm", tmp_path, monkeypatch, SBATCH_ACCOUNT="lab", SBATCH_PARTITION="cpu", MIRRORFLOW_GPU_PARTITION="gpux"
    )
    assert "slurm_account=lab, slurm_partition=cpu" in resources(said, "audit")
    assert "slurm_account=lab, slurm_partition=gpux" in resources(said, "embed")


SUBMIT = """#!/bin/sh
# what a scheduler does: note the request, start the job apart, print its id
echo "$@" >> "$REQUESTS"
setsid sh -c 'sh "$1"; echo $? > "$REQUESTS.$$"' submit "$6" > /dev/null 2>&1 &
echo $!
"""
STATUS = """#!/bin/sh
test -e "$REQUESTS.$1" || { echo running; exit; }
test "$(cat "$REQUESTS.$1")" = 0 && echo success || echo failed
"""


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scheduler of two scripts; what was asked of it."""
    monkeypatch.setenv("REQUESTS", str(tmp_path / "requests"))
    for name, text in {"SUBMIT": SUBMIT, "STATUS": STATUS}.items():
        script = tmp_path / f"{name.lower()}.sh"
        script.write_text(text)
        script.chmod(0o755)
        monkeypatch.setenv(f"MIRRORFLOW_{name}", str(script))
    return tmp_path / "requests"


GENERIC = ["--workflow-profile", str(PROFILES / "generic"), "--latency-wait", "5"]
GENERIC += ["--seconds-between-status-checks", "1"]


@pytest.mark.slow
def test_jobs_run_through_scripts_of_any_scheduler(tmp_path: Path, scheduler: Path) -> None:
    target = "store/expression/tiny/tiny.parquet"
    done = run_as_a_user(tmp_path / "run", TINY, target, *GENERIC)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "run" / target).exists()
    requests = [line.split()[1:5] for line in scheduler.read_text().splitlines()]
    assert requests == [["3000", "30", "0", "simulate_cohort"], ["3000", "120", "0", "convert_expression"]]


@pytest.mark.slow
def test_a_node_without_the_slides_disk_stops(tmp_path: Path, scheduler: Path) -> None:
    """It does not call every slide failed, which would make the cohort smaller. A slide that is nowhere is one."""
    slides, hidden = tmp_path / "slides", tmp_path / "elsewhere"
    slides.mkdir()
    write_svs(slides / "a.svs", simple(1024, 1024))
    sheet = "slide_id\tpatient\tpath\na\tp\tslides/a.svs\nb\tq\tslides/b.svs\n"
    (tmp_path / "slides.tsv").write_text(sheet)
    cohort = {"slides": {"sheet": "slides.tsv"}, "clinical": {"sheet": "patients.tsv"}, "encoders": ["resnet50"]}
    config = tmp_path / "own.yaml"
    encoders = {"encoders": {"resnet50": {"model": "resnet50", "weights": "random"}}}
    named = {"run": "own", "cohorts": {"own": cohort}, "slides": {"shards": 1}, "features": encoders}
    config.write_text(yaml.safe_dump(named))
    (tmp_path / "patients.tsv").write_text("patient\tlabel\np\tx\nq\ty\n")
    status = tmp_path / "store/slides/own/256px-20x/shards/0.tsv"
    submit = tmp_path / "submit.sh"
    submit.write_text(SUBMIT.replace("setsid", f'mv "{slides}" "{hidden}"\nsetsid', 1))
    done = run_as_a_user(tmp_path, config, str(status.relative_to(tmp_path)), *GENERIC)
    assert done.returncode != 0
    assert re.search(
        r"a\.svs: not there on .*1 slides of this job's 2 were there when the run was planned", done.stdout
    )
    assert not status.exists()
    hidden.rename(slides)
    submit.write_text(SUBMIT)
    done = run_as_a_user(tmp_path, config, str(status.relative_to(tmp_path)), *GENERIC)
    assert done.returncode == 0, done.stdout[-3000:]
    assert [line.split("\t")[2] for line in status.read_text().splitlines()[1:]] == ["ok", "failed"]
