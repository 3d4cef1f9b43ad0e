"""config/ablations.yaml on top of another config: planned, and run to rows of the results."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from runner import CONFIGS, ROOT, changed_config, copy_run, started, succeed

pytestmark = pytest.mark.workflow
ABLATIONS = ROOT / "config/ablations.yaml"
METHODS = yaml.safe_load(ABLATIONS.read_text())["methods"]
VARIANTS = set(METHODS)
TINY = CONFIGS / "tiny.yaml"


def test_each_variant_is_pretrained_and_probed_and_nothing_else_runs_again(tmp_path: Path) -> None:
    both = yaml.safe_load(TINY.read_text())
    both["methods"] |= METHODS
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both, sort_keys=False))
    jobs = started(tmp_path, TINY, tmp_path / "both.yaml")
    new, protocols, folds = len(VARIANTS - {"mirror"}), 2, 2
    sets_of_genes = protocols + 1  # honest k-shot genes come without labels: a pretraining of their own
    assert jobs["pretrain_mirror"] == new * sets_of_genes * folds
    assert jobs["embed"] == new * sets_of_genes
    assert jobs["probe_mirror"] == new * protocols
    assert not {"select_genes", "fit_baseline", "extract_features", "make_splits", "build_cohort"} & set(jobs)


@pytest.mark.slow
def test_variants_have_rows_of_their_own(tiny: Path, tmp_path: Path) -> None:
    """A variant of each kind: fewer losses, another style encoder, no prototypes."""
    names = {"mirror", "mirror--alignment", "mirror--deterministic-style", "mirror--hard-clustering"}
    every = yaml.safe_load(ABLATIONS.read_text())["methods"]
    some = tmp_path / "some.yaml"
    some.write_text(yaml.safe_dump({"methods": {name: every[name] for name in names}}))
    folder = copy_run(tiny, tmp_path / "run")
    changes = {"protocols": {"honest": {}}, "methods": {"mirror": {}}, "evaluation": {"shots": [], "bootstrap": 20}}
    config = changed_config(tmp_path, TINY, **changes)
    table = "results/tiny/tables/results.csv"
    succeed(folder, config, table, "--configfile", str(config), str(some))
    results = pd.read_csv(folder / table)
    assert set(results["method"]) == names
    accuracy = results[(results["metric"] == "accuracy") & (results["setting"] == "all")]
    assert accuracy["mean"].between(0, 1).all()
    assert len({probabilities(folder, name) for name in names}) == len(names), "each is another model"


def probabilities(folder: Path, method: str) -> tuple[float, ...]:
    """Of the first fold's patients: ranks of a dozen can agree where models do not."""
    place = folder / "results/tiny/predictions/honest/tiny/resnet50-random" / method
    frame = pd.read_parquet(place / "subtyping/fold0.parquet")
    return tuple(frame.filter(like="prob").to_numpy().ravel().tolist())
