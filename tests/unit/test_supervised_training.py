"""The supervised loop with every network: a planted signal is learned, a shuffled one is not, to the digit the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.learners.network import objective_of
from mirrorflow.metrics import c_index
from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.objective import Cox, CrossEntropy, Hazards, TaskObjective, readout_of, target_tensors
from mirrorflow.probes.task import SurvivalPrediction, Targets
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.supervised import (
    Hooks,
    LabelledUnits,
    SupervisedSettings,
    Units,
    _Supervised,
    predict_units,
    train_supervised,
)

SEES_RNA = [name for name in NETWORKS if "rna" in METHODS[name].inputs]
SMALL = {"width": 32, "attention_width": 16, "heads": 4, "layers": 1, "latents": 4, "fusion_width": 6, "landmarks": 8}
OWN = {"survpath": {"width": 64}, "snntrans": {"width": 64}, "transmil": {"width": 64, "dropout": 0.3}}
"""Of these SurvPath's attention is half as wide, and TransMIL learns its 72 bags by heart without much dropout."""
TRAIN, COUNT, CLASSES = 72, 120, 3
FAST = SupervisedSettings(
    epochs=20, batch_size=8, learning_rate=5e-3, tokens=5, precision="float32", min_steps=0, seed=3
)
BINS = 4
LEARN = replace(FAST, epochs=14, batch_size=24, learning_rate=1e-2, seed=4)
"""What a planted signal is learned with: few steps, since a step takes its time however few units it sees."""
OTHERWISE = {
    "transmil": replace(LEARN, epochs=10, learning_rate=2e-3, weight_decay=0.01),
    "survpath": replace(LEARN, epochs=20),
}
"""Bags of each length go through TransMIL by themselves; SurvPath learns more slowly."""


def build(family: str, outputs: int = CLASSES, seed: int = 0) -> SupervisedNetwork:
    sizes = Sizes(6, 5, outputs, gene_sets=((0, 1), (1, 2, 3), (4,)))
    settings = {key: SMALL.get(key, value) for key, value in METHODS[family].settings["network"].items()}
    own = ({"dropout": 0.1} if "dropout" in settings else {}) | OWN.get(family, {})
    return build_network(family, sizes, settings | own, seed)


def planted(truth: np.ndarray, *, slides: bool, rna: bool) -> Units:
    """Bags of 1 to 9 patches, a third of which (one at least) tell the class; expression that tells it."""
    rng = np.random.default_rng(1)
    bags = []
    for value in truth:
        bag = rng.normal(size=(int(rng.integers(1, 10)), 6)).astype(np.float32)
        bag[: 1 + len(bag) // 3, int(value)] += 3.5 * slides
        bags.append(bag[rng.permutation(len(bag))])
    genes = rng.normal(size=(len(truth), 5)) + 3.0 * rna * np.eye(5)[truth]
    return Units(ArrayBags(bags, [f"P{i}" for i in range(len(truth))]), genes.astype(np.float32))


def part(units: Units, rows: range) -> Units:
    return Units(ArrayBags([units.bags[i] for i in rows], [f"P{i}" for i in rows]), units.genes[list(rows)])


def targets(truth: np.ndarray) -> Targets:
    return Targets(pd.DataFrame(index=range(len(truth))), classes=truth)


def labelled(units: Units, truth: Targets, objective: TaskObjective | None = None) -> LabelledUnits:
    default = CrossEntropy(CLASSES) if truth.classes is not None else Hazards(BINS)
    return LabelledUnits(units, target_tensors(truth), objective or default)


def accuracy(family: str, units: Units, labels: np.ndarray) -> float:
    network, learn = build(family), OTHERWISE.get(family, LEARN)
    train_supervised(network, labelled(part(units, range(TRAIN)), targets(labels[:TRAIN])), learn, device="cpu")
    logits = predict_units(network, part(units, range(TRAIN, COUNT)), device="cpu")
    return float((logits.argmax(1).numpy() == labels[TRAIN:]).mean())


SEES_SLIDES = [name for name in NETWORKS if "slides" in METHODS[name].inputs]
CASES = [(name, "slides") for name in SEES_SLIDES] + [(name, "rna") for name in SEES_RNA]


@pytest.mark.parametrize(("family", "where"), CASES)
def test_a_planted_signal_is_learned_and_a_shuffled_one_is_not(family, where):
    truth = np.random.default_rng(0).integers(0, CLASSES, COUNT)
    units = planted(truth, slides=where == "slides", rna=where == "rna")
    assert accuracy(family, units, truth) > 0.78
    assert accuracy(family, units, np.random.default_rng(9).permutation(truth)) < 0.55


def outcomes(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times [unit] whose hazard rises with the group, and events."""
    rng = np.random.default_rng(4)
    return rng.exponential(1000 * np.exp(-3.0 * group)), rng.random(len(group)) < 0.8


def survival_of(family: str, units: Units, times: np.ndarray, event: np.ndarray) -> SurvivalPrediction:
    """What a network says of the held-out units that was trained on the outcomes of the others."""
    bins = np.searchsorted(np.quantile(times[event], [0.25, 0.5, 0.75]), times, side="right")
    frame = pd.DataFrame(index=range(TRAIN))
    known = Targets(frame, time_days=times[:TRAIN], event=event[:TRAIN], bins=bins[:TRAIN])
    network, learn = build(family, BINS), OTHERWISE.get(family, LEARN)
    train_supervised(network, labelled(part(units, range(TRAIN)), known), learn, device="cpu")
    logits = predict_units(network, part(units, range(TRAIN, COUNT)), device="cpu")
    prediction = readout_of(known).predict(logits, learn.epochs)
    assert isinstance(prediction, SurvivalPrediction)
    return prediction


@pytest.mark.parametrize("family", NETWORKS)
def test_a_planted_risk_is_learned_and_a_shuffled_one_is_not(family):
    group = np.random.default_rng(0).integers(0, 3, COUNT)
    times, event = outcomes(group)
    units, ones = planted(group, slides=True, rna=True), np.ones((1, COUNT - TRAIN))
    prediction = survival_of(family, units, times, event)
    assert np.all(np.diff(prediction.survival, axis=1) <= 0)
    agreement = c_index(prediction.risk, times[TRAIN:], event[TRAIN:], ones)[0]
    assert agreement > 0.68
    assert c_index(-prediction.risk, times[TRAIN:], event[TRAIN:], ones)[0] == pytest.approx(1 - agreement)
    order = np.random.default_rng(11).permutation(TRAIN)
    shuffled = survival_of(family, units, *(np.append(one[:TRAIN][order], one[TRAIN:]) for one in (times, event)))
    assert c_index(shuffled.risk, times[TRAIN:], event[TRAIN:], ones)[0] < 0.6


def trained(family: str, **changes: object) -> torch.Tensor:
    truth = np.arange(12) % CLASSES
    units = planted(truth, slides=True, rna=True)
    network = build(family)
    train_supervised(network, labelled(units, targets(truth)), replace(FAST, epochs=2, **changes), device="cpu")
    return predict_units(network, units, device="cpu")


@pytest.mark.parametrize("family", NETWORKS)
def test_the_seed_decides_everything_and_torchs_own_state_nothing(family):
    torch.manual_seed(1)
    first = trained(family)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, trained(family))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, trained(family, seed=4))


def test_a_units_prediction_does_not_depend_on_the_others():
    units = planted(np.arange(6) % 3, slides=True, rna=True)
    network = build("porpoise")
    all_units = predict_units(network, units, device="cpu")
    assert torch.equal(predict_units(network, part(units, range(2, 4)), device="cpu"), all_units[2:4])


def test_prediction_sees_every_patch_whatever_tokens_says():
    units = planted(np.arange(6) % 3, slides=True, rna=False)
    network = build("abmil")
    before = predict_units(network, units, device="cpu")
    longest = max(range(6), key=lambda i: len(units.bags[i]))
    for patch in range(len(units.bags[longest])):
        changed = [bag.copy() for bag in units.bags.arrays]
        changed[longest][patch] += 5.0
        after = predict_units(network, Units(ArrayBags(changed), units.genes), device="cpu")
        assert not torch.equal(after[longest], before[longest])


def test_prediction_looks_at_a_part_of_larger_bags_where_asked_and_always_the_same():
    units = planted(np.arange(12) % 3, slides=True, rna=False)
    sizes = [len(bag) for bag in units.bags.arrays]
    network, capped = build("abmil"), units.capped(4)
    whole, seen = (predict_units(network, one, device="cpu") for one in (units, capped))
    small = [number for number, size in enumerate(sizes) if size <= 4]
    assert 0 < len(small) < len(sizes)
    assert torch.equal(seen[small], whole[small])
    assert not any(torch.equal(seen[number], whole[number]) for number in range(12) if number not in small)
    assert [len(capped.bags[number]) for number in range(12)] == [min(size, 4) for size in sizes]
    assert [capped.bags.size(number) for number in range(12)] == [min(size, 4) for size in sizes]
    assert torch.equal(predict_units(network, part(units, range(3, 7)).capped(4), device="cpu"), seen[3:7])
    largest = int(np.argmax(sizes))
    np.testing.assert_array_equal(capped.bags.rows(largest, np.array([2, 0])), capped.bags[largest][[2, 0]])
    assert units.capped(None) is units
    assert capped.name(3) == "P3"


def test_padding_of_a_batch_changes_no_gradient():
    """A step on bags of unequal size equals one on the same bags one by one, accumulated."""
    truth = np.array([0, 1, 2])
    units = planted(truth, slides=True, rna=False)
    assert len({len(bag) for bag in units.bags.arrays}) > 1
    once = replace(FAST, epochs=1, batch_size=3, tokens=99, warmup_epochs=0, schedule="constant")
    network = build("abmil")
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected = build("abmil")
    expected.load_state_dict(network.state_dict())
    expected.eval()
    whole, at = targets(truth), Progress(0, 0, 0.0)
    for row, bag in enumerate(units.bags.arrays):
        mask = torch.ones(1, len(bag), dtype=torch.bool)
        batch = Batch(
            torch.from_numpy(bag)[None], mask, torch.zeros(1, 5), target_tensors(whole).of(torch.tensor([row]))
        )
        (CrossEntropy(CLASSES).terms(expected(batch), batch, at)["cross_entropy"] / 3).backward()
    train_supervised(network, labelled(units, whole), once, device="cpu")
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        if name != "pool.score.bias":
            torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_every_epoch_is_reported_and_the_loss_falls():
    truth = np.random.default_rng(0).integers(0, CLASSES, COUNT)
    told: list[int] = []
    history = train_supervised(
        build("abmil"),
        labelled(planted(truth, slides=True, rna=False), targets(truth)),
        FAST,
        Hooks(on_epoch=lambda state, row: told.append(state.epoch)),
        device="cpu",
    ).history
    assert told == list(range(1, 21))
    assert history[-1]["total"] < 0.7 * history[0]["total"]
    assert all(row["cross_entropy"] == row["total"] for row in history)


def test_few_units_are_gone_over_more_often_until_there_are_enough_steps():
    settings = SupervisedSettings(epochs=5, batch_size=16, min_steps=40)
    assert settings.passes_for(320) == 1
    assert settings.passes_for(20) == 4
    assert settings.passes_for(10) == 8
    assert replace(settings, passes=3, min_steps=0).passes_for(10) == 3


def test_an_epoch_of_several_passes_sees_every_unit_as_often_and_is_one_epoch():
    truth = np.array([0, 1, 2, 0, 1])
    seen, told = [], []

    class Listening(CrossEntropy):
        def terms(self, out, batch, at):
            seen.append((batch.genes[:, 0] * 10).round().int().tolist())
            return super().terms(out, batch, at)

    settings = replace(FAST, epochs=2, batch_size=2, min_steps=12)
    bags = planted(truth, slides=True, rna=False).bags
    units = Units(bags, np.repeat(np.arange(5)[:, None] / 10, 5, axis=1).astype(np.float32))  # genes tell the row
    hooks = Hooks(on_epoch=lambda state, row: told.append(state.epoch))
    given = labelled(units, targets(truth), Listening(CLASSES))
    history = train_supervised(build("abmil"), given, settings, hooks, device="cpu").history
    assert (told, len(history), len(seen)) == ([1, 2], 2, 12)
    for epoch in (seen[:6], seen[6:]):
        for one in (epoch[:3], epoch[3:]):
            assert sorted(row for rows in one for row in rows) == [0, 1, 2, 3, 4]
    assert seen[:3] != seen[3:6]


def test_what_is_not_finite_is_named():
    units = planted(np.array([0, 1, 2, 0]), slides=True, rna=True)
    genes = units.genes.copy()
    genes[2, 1] = np.nan
    with pytest.raises(InputError, match="P2: expression holds NaN"):
        Units(units.bags, genes)
    units.bags.arrays[3][0, 1] = np.nan
    given = labelled(units, targets(np.array([0, 1, 2, 0])))
    with pytest.raises(MirrorflowError, match="epoch 1, step 1; features of P3 hold NaN"):
        train_supervised(build("abmil"), given, replace(FAST, tokens=9), device="cpu")


def test_a_training_that_diverges_ends_and_says_what_to_lower():
    units = planted(np.array([0, 1, 2, 0]), slides=True, rna=True)

    class Diverging(CrossEntropy):
        def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, torch.Tensor]:
            return {"cross_entropy": out.logits.sum() * np.nan}

    given = labelled(units, targets(np.array([0, 1, 2, 0])), Diverging(CLASSES))
    with pytest.raises(MirrorflowError, match=r"not finite at epoch 1, step 1; lower train.learning_rate"):
        train_supervised(build("abmil"), given, FAST, device="cpu")


def test_impossible_settings_and_inputs_say_so():
    with pytest.raises(ConfigError, match=r"train.epochs is 0"):
        SupervisedSettings(epochs=0)
    with pytest.raises(ConfigError, match=r"train.schedule is 'step'; allowed"):
        SupervisedSettings(schedule="step")
    none = labelled(Units(ArrayBags([]), np.zeros((0, 5))), targets(np.zeros(0, int)))
    with pytest.raises(InputError, match="no training unit"):
        train_supervised(build("abmil"), none, FAST, device="cpu")
    with pytest.raises(InputError, match="2 bags beside 3"):
        Units(ArrayBags([np.zeros((1, 6))] * 2), np.zeros((3, 5)))


@pytest.mark.parametrize("family", NETWORKS)
def test_every_family_trains_in_half_precision_with_what_it_minimises_itself(family):
    """As precision: auto does where a GPU, or a processor from width 256 on, has bfloat16."""
    truth = Targets(list("abcdefgh"), time_days=np.arange(1.0, 9.0), event=np.arange(8) % 2 == 0, bins=np.zeros(8, int))
    units = planted(np.arange(8) % CLASSES, slides=True, rna=True)
    task = Cox(truth, np.array([9.0]))

    def losses(precision):
        network = build(family, outputs=1)
        own = LabelledUnits(units, target_tensors(truth), objective_of(family, network, task), by_event=True)
        settings = replace(FAST, epochs=2, batch_size=4, precision=precision)
        return [row["total"] for row in train_supervised(network, own, settings, device="cpu").history]

    assert losses("bfloat16") == pytest.approx(losses("float32"), rel=0.1, abs=0.1)


@pytest.mark.parametrize("batches", ["random", "by_event"])
def test_batches_without_an_event_are_counted(batches):
    """One event in four batches: three teach nothing of survival, in every epoch, however events are dealt."""
    event = np.arange(8) == 5
    truth = Targets(list("abcdefgh"), time_days=np.arange(1.0, 9.0), event=event, bins=np.zeros(8, dtype=int))
    units = planted(np.arange(8) % CLASSES, slides=True, rna=False)
    labels = LabelledUnits(units, target_tensors(truth), Cox(truth, np.array([9.0])), by_event=True)
    settings = replace(FAST, epochs=3, batch_size=2, batches=batches)
    rows = train_supervised(build("abmil", outputs=1), labels, settings, device="cpu").history
    assert [row.get("batches_without_event") for row in rows] == [3.0] * 3


def test_biases_and_vectors_may_be_spared_of_weight_decay():
    """Where no gradient flows only decay moves weights."""
    truth = np.zeros(8, dtype=int)
    units = planted(truth, slides=True, rna=False)
    network = build("abmil")
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
    settings = replace(FAST, epochs=1, weight_decay=0.5, learning_rate=1e-9, decay="matrices", warmup_epochs=0)
    groups = _Supervised(network, labelled(units, targets(truth)), settings, torch.device("cpu")).groups()
    names = {id(one): name for name, one in network.named_parameters()}
    spared = {names[id(one)] for one in groups[1].parameters}
    assert [group.weight_decay for group in groups] == [0.5, 0.0]
    assert spared == {name for name in names.values() if name.endswith("bias")}
    everything = replace(settings, decay="all")
    (whole,) = _Supervised(network, labelled(units, targets(truth)), everything, torch.device("cpu")).groups()
    assert len(whole.parameters) == len(names)


def test_stacked_biases_and_scales_of_norms_are_vectors_too():
    truth = np.zeros(8, dtype=int)
    units, settings = planted(truth, slides=True, rna=True), replace(FAST, decay="matrices")
    network = build("mmp")
    groups = _Supervised(network, labelled(units, targets(truth)), settings, torch.device("cpu")).groups()
    names = {id(one): name for name, one in network.named_parameters()}
    decayed, spared = ({names[id(one)] for one in group.parameters} for group in groups)
    assert {"pathways.first", "feed.first", "feed.second"} <= decayed
    assert {"pathways.first_bias", "pathways.second_bias", "feed.scale", "feed.shift", "feed.first_bias"} <= spared
