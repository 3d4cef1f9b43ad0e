"""Jobs that serve every case of a rule make what a job a case makes, and nothing that nobody asks for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mirrorflow.plan.jobs import Job, plan_jobs
from mirrorflow.plan.paths import EmbeddingsRecord
from rerun_example import EXAMPLE, write_example
from runner import CONFIGS, changed_config

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
OWN_GENES = {"selection": {"method": "variance", "n_genes": 20}}
CHANGES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "inner folds": {"splits.inner_folds": 2, "protocols.honest": {"epoch": "nested"}},
    "genes of its own": {"methods.mirror--genes-few": OWN_GENES, "methods.concat-linear--genes-few": OWN_GENES},
    "folds that share a GPU": {"compute.gpu_share": 2, "seeds": [1, 2]},
    "a method under one protocol": {"methods.site": {"under": "mixing"}},
    "no k-shot settings": {"evaluation.shots": []},
    "two encoders": {
        "features.encoders.other": {
            "model": "resnet50",
            "weights": "random",
            "image_size": 64,
            "patching": "512px-20x",
        },
        "slides.presets": {"256px-20x": {"size_px": 256}, "512px-20x": {"size_px": 512}},
        "cohorts.tiny.encoders": ["resnet50-random", "other"],
    },
}


def planned(folder: Path, config: Path, jobs: str) -> list[Job]:
    how = folder / f"{jobs}.yaml"
    how.write_text(yaml.safe_dump({"compute": {"jobs": jobs}}))
    return plan_jobs([config, how], folder)


def assert_the_same_is_made(folder: Path, config: Path) -> None:
    few, many = (planned(folder, config, jobs) for jobs in ("few", "many"))
    made, wanted = ({output for job in jobs for output in job.outputs} for jobs in (few, many))
    assert wanted <= made
    # frozen embeddings of a protocol whose probe draws anew: for sensitivities, which are made on request
    assert all(EmbeddingsRecord.parse(path).mode == "frozen" for path in made - wanted)
    assert len(few) < min(32, len(many) / 2)


@pytest.mark.parametrize("name", CHANGES)
def test_few_jobs_make_what_many_make(tmp_path: Path, name: str) -> None:
    assert_the_same_is_made(tmp_path, changed_config(tmp_path, TINY, **CHANGES[name]))


def test_with_pairs_slides_and_outcomes_of_all_kinds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cohorts, if asked for: without slides, with features of others, an adapted pair, a whole of changes."""
    write_example(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.yaml").write_text(EXAMPLE)
    few, many = (planned(tmp_path, tmp_path / "example.yaml", jobs) for jobs in ("few", "many"))
    made, wanted = ({output for job in jobs for output in job.outputs} for jobs in (few, many))
    assert wanted <= made
    assert len(few) < len(many) / 2
