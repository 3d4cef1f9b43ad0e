from pathlib import Path

import pandas as pd
import pytest
import torch

from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.steps.training.measure_complexity import measure_complexity
from mirrorflow.store.tables import read_numbers
from mirrorflow.tables.complexity import MEASURES, complexity_table, shown
from mirrorflow.training.complexity import SUBJECTS, Dimensions, count, measure, stages_of

RESOURCES = Path(__file__).parents[2] / "resources"
PUBLISHED = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
SMALL = Dimensions(patch_dim=6, gene_count=10, tokens=9, width=48)


@pytest.mark.parametrize(
    ("subject", "stage", "parameters", "gflops"),
    [
        ("mirror", "pretrain", 48.97, 139.09),
        ("mirror", "downstream", 33.10, 90.40),
        ("tangle", "pretrain", 11.41, 9.69),
        ("tangle", "downstream", 11.41, 9.69),
    ],
)
def test_counts_are_the_published_ones(subject, stage, parameters, gflops):
    found = count(subject, stage, Dimensions())
    assert round(found["parameters_m"], 2) == parameters
    assert round(found["gflops"], 2) == gflops


def test_exact_attention_has_the_same_parameters_and_fewer_operations():
    exact, nystrom = (count(name, "pretrain", Dimensions()) for name in ("mirror--exact", "mirror"))
    assert exact["parameters_m"] == nystrom["parameters_m"]
    assert exact["gflops"] < nystrom["gflops"]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_stage_is_measured(subject):
    for stage in stages_of(subject):
        found = measure(
            subject, stage, SMALL, batch=2, steps=1, precision="float32", device="cpu", threads=torch.get_num_threads()
        )
        assert found["samples_per_second"] > 0
        assert found["epoch_seconds"] > 0
        assert 0.01 < found["peak_memory_gb"] < 100


@pytest.mark.parametrize("family", NETWORKS)
def test_supervised_methods_are_counted_at_their_default_size(family):
    assert stages_of(family) == ["downstream"]
    genes = SMALL.gene_count if "rna" in METHODS[family].inputs else 0
    sets = tuple((gene,) for gene in range(SMALL.gene_count))
    network = build_network(family, Sizes(SMALL.patch_dim, genes, 2, sets), METHODS[family].settings["network"], seed=0)
    found = count(family, "downstream", SMALL)
    assert found["parameters_m"] * 1e6 == sum(parameter.numel() for parameter in network.parameters())
    assert found["gflops"] > 0


@pytest.mark.parametrize("family", NETWORKS)
def test_a_timed_step_trains_every_weight_as_a_training_does(family):
    """By the whole objective: heads of CLAM's instance loss, TTA's space of views and contrast have gradients, too."""
    part = SUBJECTS[family](SMALL)["downstream"]
    part.module.train()
    part.loss(torch.randn(2, SMALL.tokens, SMALL.patch_dim), torch.randn(2, SMALL.gene_count), 0).backward()
    assert [name for name, weight in part.module.named_parameters() if weight.grad is None] == []


def test_steps_that_differ_are_timed_as_a_cycle(monkeypatch):
    """TTA draws views of slides in every third step."""
    done = []

    def loss(network, objective, patches, genes, step):
        done.append(step)
        return next(network.parameters()).sum()

    monkeypatch.setattr("mirrorflow.training.complexity._supervised_loss", loss)
    how = {"batch": 2, "steps": 1, "precision": "float32", "device": "cpu", "threads": torch.get_num_threads()}
    measure("tta", "downstream", SMALL, **how)
    measure("clam", "downstream", SMALL, **how)
    assert done == [0, 1, 2, 0, 1, 2, 0, 0], "two rounds of a cycle, two of a step"


def test_published_costs_stand_beside_ours():
    rows = [
        {"method": name, "stage": stage} | dict.fromkeys(MEASURES, 1.0)
        for name in ("mirror", "tangle", "mirror--exact")
        for stage in ("pretrain", "downstream")
    ]
    table = complexity_table(rows, PUBLISHED).set_index(["method", "stage"])
    beside = table[[f"published_{measure}" for measure in MEASURES]]
    assert beside.loc[("mirror", "pretrain")].tolist() == [48.97, 139.14, 61.58, 19.24]
    assert beside.loc[("mirror", "downstream")].tolist() == [33.10, 90.44, 227.88, 10.30]
    assert beside.loc[("tangle", "pretrain")].tolist() == [11.41, 9.69, 799.19, 3.17]
    assert beside.loc[("tangle", "downstream")].tolist() == [11.41, 9.69, 2593.77, 3.17]
    assert beside.loc[("mirror--exact", "pretrain")].isna().all()
    assert shown(table.reset_index(), {"mirror": "MIRROR"}).iloc[0].tolist() == [
        "MIRROR", "pretrain", *(f"1 ({value}, suspect)" for value in ("48.97", "139.14", "61.58", "19.24")),
    ]  # fmt: skip
    doubts = table[[f"suspect_{measure}" for measure in MEASURES]]
    assert (doubts.loc[("mirror", "pretrain")] == "encoder, setting or cohort inferred, not stated").all()
    assert (doubts.loc[("mirror--exact", "pretrain")] == "").all()


def test_a_published_cost_without_a_mark_is_not_called_suspect():
    row = {"method": "mirror", "stage": "pretrain"} | dict.fromkeys(MEASURES, 1.0)
    table = complexity_table([row], PUBLISHED.assign(suspect=""))
    assert shown(table, {}).iloc[0, 2] == "1 (48.97)"


def test_the_rule_writes_the_table_three_times(tmp_path):
    settings = {"batch_size": 2, "steps": 1, "precision": "float32"}
    measure_complexity(
        RESOURCES / "published_results.csv", RESOURCES / "names.tsv", tmp_path / "complexity", settings,
        threads=1, device="cpu", subjects=["tangle"], sizes=SMALL,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "complexity.csv")
    assert table["stage"].tolist() == ["pretrain", "downstream"]
    assert table["published_parameters_m"].tolist() == [11.41, 11.41]
    assert "Seconds an epoch" in (tmp_path / "complexity.md").read_text()
    assert "TANGLE" in (tmp_path / "complexity.md").read_text()
    assert "RTX 3090" in (tmp_path / "complexity.tex").read_text()
