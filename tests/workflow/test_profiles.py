"""Profiles and the rules' requests: what a cluster is asked for, and that jobs run through any scheduler's scripts."""

import re
from pathlib import Path
from typing import Any

import pytest
from snakemake.profiles import ProfileConfigFileParser

from runner import CONFIGS, ROOT, run

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
    assert re.search(r"\bmem_mb=growing\(\d+", asked), "say mem_mb=growing(<MB>): a job killed for memory gets more"
    assert re.search(r"\bruntime=growing\(\d+", asked), "say runtime=growing(<minutes>): a job out of time gets more"


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
    assert threads == ON_GPUS - {"extract_features", "measure_complexity", "train_supervised"} | {"select_genes"}
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


@pytest.mark.slow
def test_jobs_run_through_scripts_of_any_scheduler(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("REQUESTS", str(tmp_path / "requests"))
    for name, text in {"SUBMIT": SUBMIT, "STATUS": STATUS}.items():
        script = tmp_path / f"{name.lower()}.sh"
        script.write_text(text)
        script.chmod(0o755)
        monkeypatch.setenv(f"MIRRORFLOW_{name}", str(script))
    target = "store/expression/tiny/tiny.parquet"
    more = ["--latency-wait", "5", "--seconds-between-status-checks", "1"]
    done = run(tmp_path / "run", TINY, target, "--workflow-profile", str(PROFILES / "generic"), *more)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "run" / target).exists()
    requests = [line.split()[1:5] for line in (tmp_path / "requests").read_text().splitlines()]
    assert requests == [["2000", "30", "0", "simulate_cohort"], ["3000", "120", "0", "convert_expression"]]
