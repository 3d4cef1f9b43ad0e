"""Every rule gives its step what the step declares: names and types, for every job of small configs."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

from mirrorflow.plan.together import TOGETHER
from mirrorflow.runtime.forks import Cores
from mirrorflow.runtime.typed import read_fields
from mirrorflow.steps.start import find_step
from mirrorflow.steps.together import CaseJob

ROOT = Path(__file__).parents[2]
CONFIGS = {
    "tiny": [ROOT / "tests" / "workflow" / "configs" / "tiny.yaml"],
    "tcga": [ROOT / "config" / "tcga.yaml", ROOT / "config" / "cptac.yaml"],
}
"""Slides of one's own (simulated); slides of GDC and a second cohort that models are adapted to."""

SMALL = {"slides": {"shards": 1}, "splits": {"folds": 2}, "seeds": [1]}
USERS_FILES = [
    f"cptac/{name}"
    for name in ("slides.tsv", "patients.tsv", "rna.tsv.gz", "splits/splits_0.csv", "splits/splits_1.csv")
]
NEW = "predict_patients"
ON_REQUEST = ("measure_complexity", "make_sensitivity", "make_training_folds", "explained")


@pytest.fixture
def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a run of one cohort has few jobs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def jobs_of(configfiles: list[Path], folder: Path, *targets: str) -> Iterator[Any]:
    """The jobs that Snakemake plans, with inputs, outputs, params and wildcards as their scripts get them."""
    logging.getLogger("snakemake").setLevel(logging.ERROR)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        made = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=configfiles, config=SMALL),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        made.dag()
        workflow = made._workflow
        workflow.dag_settings.targets = set(targets)
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        workflow._build_dag()
        yield from workflow.dag.jobs


def cases_of(job: Any) -> list[Any]:
    """The job; of one that serves several cases, what each of them is given."""
    whole = SimpleNamespace(rule=job.rule, resources={})
    return [CaseJob(whole, case, Cores()) for case in job.params.get(TOGETHER, [])] or [job]


def check(job: Any) -> None:
    step = find_step(job.rule.name)
    for name, given in {"Inputs": job.input, "Outputs": job.output, "Params": job.params}.items():
        if hasattr(step, name):
            wildcards = job.wildcards if name == "Params" else None
            read_fields(getattr(step, name), given, f"rule {job.rule.name}, {name}", wildcards=wildcards)


def stored_by_others(job: Any) -> set[str]:
    """Kinds of what a job reads that another run may have put in its place in the store."""
    kinds = {
        "expression": lambda path: path.startswith("store/expression/") and path.endswith(".parquet"),
        "features": lambda path: "/features/" in path and path.startswith("results/"),
    }
    return {kind for kind, is_one in kinds.items() if any(map(is_one, job.input))}


def held(job: Any) -> set[str]:
    """Kinds of the records that a job holds before it starts."""
    return {Path(record["path"]).parts[1] for record in job.params.get("stored", [])}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.usefixtures("without_gpus")
def test_every_job_gives_its_step_what_it_declares(config: str, tmp_path: Path):
    for name in USERS_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rules = set()
    jobs = [job for job in jobs_of(CONFIGS[config], tmp_path, "all", *ON_REQUEST) if job.rule.script]
    for case in itertools.chain.from_iterable(map(cases_of, jobs)):
        check(case)
        assert stored_by_others(case) <= held(case), case.rule.name
        rules.add(case.rule.name)
    assert len(rules) > 20


def test_jobs_of_a_cause_specific_outcome_give_their_steps_what_they_declare(tmp_path: Path):
    """config/tta.yaml, whose features are made elsewhere: its rules are those of no other config here."""
    rules = set()
    for job in jobs_of([ROOT / "config" / "tta.yaml"], tmp_path, "all"):
        if job.rule.script:
            check(job)
            assert "expression" not in stored_by_others(job) - held(job), job.rule.name
            rules.add(job.rule.name)
    assert {"predict_unknown_causes", "make_cause_bounds", "make_survival_field"} <= rules


def test_new_patients_give_their_step_what_it_declares(tmp_path: Path):
    (tmp_path / "new.yaml").write_text(
        "new_patients:\n  spring: {features: here, protocol: honest}\n", encoding="utf-8"
    )
    jobs = [job for job in jobs_of([*CONFIGS["tiny"], tmp_path / "new.yaml"], tmp_path) if job.rule.name == NEW]
    (job,) = jobs
    check(job)
    assert job.output.about == "results/tiny/new_patients/spring/about.md"
    assert {Path(path).parts[3] for path in job.input} == {"honest"}
    assert job.params.given == {"features": "absent"}
