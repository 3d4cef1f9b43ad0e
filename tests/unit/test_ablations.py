"""config/ablations.yaml: the variants of Tables V, VI and VIII, as the paper names them."""

from pathlib import Path

import pytest
import yaml

from mirrorflow.config.resolve import resolve
from mirrorflow.learners.pretrained import split_settings
from mirrorflow.models.families import build_network
from mirrorflow.tables.published import PAPER_VARIANTS

ROOT = Path(__file__).parents[2]
ABLATIONS = yaml.safe_load((ROOT / "config/ablations.yaml").read_text())
DEMO = yaml.safe_load((ROOT / "config/config.yaml").read_text())
CONFIG = resolve(DEMO | {"methods": DEMO["methods"] | ABLATIONS["methods"]})


def test_it_holds_nothing_but_variants_of_mirror():
    assert list(ABLATIONS) == ["methods"]
    assert all(name.split("--")[0] == "mirror" for name in ABLATIONS["methods"])


@pytest.mark.parametrize("name", PAPER_VARIANTS)
def test_every_ablation_of_the_paper_is_there_under_its_name(name):
    settings = CONFIG["methods"][name]["pretrain"]
    assert PAPER_VARIANTS[name].items() <= settings.items()
    changed = {key for key, value in settings.items() if value != CONFIG["methods"]["mirror"]["pretrain"][key]}
    assert changed == set(PAPER_VARIANTS[name])


@pytest.mark.parametrize("name", ABLATIONS["methods"])
def test_every_variant_builds(name):
    settings, _ = split_settings(CONFIG["methods"][name]["pretrain"], "mirror", patch_dim=8, gene_count=9, seed=0)
    network = build_network("mirror", settings, 0)
    assert set(network.loss_weights()) >= {"alignment"}


def test_a_deterministic_style_encoder_keeps_the_prototypes():
    settings, _ = split_settings(
        CONFIG["methods"]["mirror--deterministic-style"]["pretrain"], "mirror", patch_dim=8, gene_count=9, seed=0
    )
    network = build_network("mirror", settings, 0)
    assert network.style.log_variance is None
    assert network.prototypes is not None
