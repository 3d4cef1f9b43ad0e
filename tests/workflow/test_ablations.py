"""config/ablations.yaml on top of another config: planned, and run to rows of the results."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from runner import CONFIGS, ROOT, changed_config, planned, succeed

pytestmark = pytest.mark.workflow
ABLATIONS = ROOT / "config/ablations.yaml"
VARIANTS = set(yaml.safe_load(ABLATIONS.read_text())["methods"])
TINY = CONFIGS / "tiny.yaml"


def test_each_variant_is_pretrained_and_probed_and_nothing_else_runs_again(tiny: Path) -> None:
    jobs = planned(tiny, TINY, "--configfile", str(TINY), str(ABLATIONS))
    new, protocols, folds = len(VARIANTS - {"mirror"}), 2, 2
    sets_of_genes = protocols + 1  # honest k-shot genes come without labels: a pretraining of their own
    assert jobs["pretrain_mirror"] == new * sets_of_genes * folds
    assert jobs["embed"] == new * sets_of_genes
    assert jobs["probe_mirror"] == new * protocols
    assert not {"select_genes", "fit_baseline", "extract_features", "make_splits", "build_cohort"} & set(jobs)


@pytest.mark.slow
def test_variants_have_rows_of_their_own(tmp_path: Path) -> None:
    config = changed_config(tmp_path, TINY, protocols={"honest": {}}, methods={"mirror": {}})
    succeed(tmp_path, config, "--configfile", str(config), str(ABLATIONS), "results/tiny/tables/results.csv")
    results = pd.read_csv(tmp_path / "results/tiny/tables/results.csv")
    assert set(results["method"]) == VARIANTS
    accuracy = results[(results["metric"] == "accuracy") & (results["setting"] == "all")]
    assert accuracy["mean"].between(0, 1).all()
    assert len(set(accuracy["by_fold"])) > 1
