"""config/README.md is what the schema says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from mirrorflow.config.reference_page import reference
from mirrorflow.config.resolve import resolve
from mirrorflow.config.resources import ENCODERS_FILE, METHODS_FILE

ROOT = Path(__file__).parents[2]


def test_reference_is_up_to_date() -> None:
    stored = (ROOT / "config" / "README.md").read_text()
    assert stored == reference(), "run `mirrorflow config-reference > config/README.md`"


def test_reference_names_nested_keys_and_defaults() -> None:
    text = reference()
    assert "| `expression.selection.rfe.step` | `0.05` |" in text
    assert "| `cohorts.<name>.clinical.sheet` |" in text
    assert "| `unit` | patient | slide | patient |" in text


CONFIGS = [
    *sorted(set((ROOT / "config").glob("*.yaml")) - {METHODS_FILE, ENCODERS_FILE}),
    *sorted(ROOT.glob("tests/workflow/configs/*.yaml")),
]

REAL = "tests/workflow/configs"
ON_TOP_OF = {
    "ablations.yaml": ["config/config.yaml"],
    "cptac.yaml": ["config/tcga.yaml"],
    "tcga_methods.yaml": [f"{REAL}/tcga_brca.yaml"],
    "tcga_public_forms.yaml": [f"{REAL}/tcga_coadread.yaml"],
    "tcga_site_folds.yaml": [f"{REAL}/tcga_brca.yaml", f"{REAL}/tcga_methods.yaml"],
}
"""Files that are not a config by themselves."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_of_the_project_is_valid(path: Path) -> None:
    config: dict[str, Any] = {}
    for file in [*(ROOT / base for base in ON_TOP_OF.get(path.name, [])), path]:
        update_config(config, yaml.safe_load(file.read_text()))
    assert resolve(config)["cohorts"]
