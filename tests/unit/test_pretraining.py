import logging
import math
import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.mirror import MirrorSettings, build_mirror
from mirrorflow.training.bags import ArrayBags, SomeBags, draw_batch, draw_rows, patch_moments, prefetched
from mirrorflow.training.best_epoch import ValidationUnits
from mirrorflow.training.pretraining import Layout, PairedData, epoch_batches
from mirrorflow.training.retrieval import chance_at, modality_gap, recall_at, retrieval_report
from mirrorflow.training.schedule import learning_rate_factor
from mirrorflow.training.trainer import Trainer, TrainingState
from planted import GENES, PATCH_DIM, TOKENS, planted

CPU = Layout("cpu")
TIMES = {"seconds", "samples_per_second", "waited_seconds", "peak_memory_mb"}


def model_of(seed: int = 0, **changes):
    chosen = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "attention": "exact"}
    return build_mirror(MirrorSettings(PATCH_DIM, GENES, **(chosen | changes)), seed)


def settings_of(**changes) -> PretrainSettings:
    chosen = {"epochs": 4, "learning_rate": 2e-3, "tokens": TOKENS, "seed": 3, "precision": "float32"}
    return PretrainSettings(**(chosen | changes))


def losses_of(history):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


def snapshot(state: TrainingState) -> TrainingState:
    """What a checkpoint keeps: copies, through bytes."""
    import io

    stream = io.BytesIO()
    torch.save({"model": state.model, "optimizer": state.optimizer}, stream)
    stream.seek(0)
    content = torch.load(stream, weights_only=True)
    return TrainingState(state.epoch, content["model"], content["optimizer"], list(state.history), state.best)


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
@pytest.mark.parametrize("short", ["resample", "mask"])
def test_training_finds_the_planted_pairs(attention, short):
    bags, genes = planted()
    model = model_of(attention=attention)
    chosen = settings_of(epochs=10, short=short, feature_scaling="train")
    history = pretrain(model, PairedData(bags, genes), chosen, layout=CPU)
    assert history[-1]["total"] < 0.5 * history[0]["total"]
    assert [row["epoch"] for row in history] == list(range(1, 11))
    rng = np.random.default_rng(0)
    drawn = torch.from_numpy(np.stack([bags.rows(i, draw_rows(bags.size(i), TOKENS, rng)) for i in range(len(bags))]))
    with torch.inference_mode():
        slide, rna = model.align(*model.encode(drawn, torch.from_numpy(genes)))
    report = retrieval_report(slide.numpy(), rna.numpy(), [str(i) for i in range(len(bags))])
    assert report["chance_recall@1"] == 1 / 32
    assert report["slide_to_rna_recall@1"] > 0.5
    assert report["rna_to_slide_recall@1"] > 0.5


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_gives_the_losses_of_an_undisturbed_one(stop):
    bags, genes = planted(20)
    chosen = settings_of(feature_scaling="train", schedule="cosine", warmup_epochs=1, batch_size=8)
    states = []
    whole = pretrain(
        model_of(),
        PairedData(bags, genes),
        chosen,
        layout=CPU,
        on_epoch=lambda state, row: states.append(snapshot(state)),
    )
    resumed = pretrain(model_of(seed=9), PairedData(bags, genes), chosen, layout=CPU, resume_from=states[stop - 1])
    assert losses_of(resumed) == losses_of(whole)


def trained_and_validation() -> tuple[SomeBags, np.ndarray, ValidationUnits]:
    """Twenty planted units to train on, nine that are left out."""
    bags, genes = planted(29)
    return (
        SomeBags(bags, range(20)),
        genes[:20],
        ValidationUnits(SomeBags(bags, range(20, 29)), genes[20:], np.arange(9)),
    )


VALIDATION_RUN = settings_of(epochs=8, learning_rate=5e-3, batch_size=8)


def validation_run(model, **further):
    """History of a training on the twenty, its epoch chosen on the nine, and the states after each epoch."""
    bags, genes, validation = trained_and_validation()
    states = []
    history = pretrain(model, PairedData(bags, genes), VALIDATION_RUN, layout=CPU, validation=validation,
        on_epoch=lambda state, row: states.append(snapshot(state)), **further,
    )  # fmt: skip
    return history, states


def test_the_epoch_that_is_best_on_validation_units_is_kept_and_the_training_is_the_same():
    model, last = model_of(), model_of()
    history, states = validation_run(model)
    plain = pretrain(last, PairedData(*trained_and_validation()[:2]), VALIDATION_RUN, layout=CPU)
    assert losses_of([without(row, "evaluation_total") for row in history]) == losses_of(plain)
    on_validation = [row["evaluation_total"] for row in history]
    best = int(np.argmin(on_validation))
    assert 0 < best < len(history) - 1, "neither the first nor the last, or nothing is shown"
    for name, value in model.state_dict().items():
        assert torch.equal(value, states[best].model[name]), name
    assert not all(torch.equal(value, last.state_dict()[name]) for name, value in model.state_dict().items())


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def test_a_resumed_run_remembers_the_best_epoch():
    whole, resumed = model_of(), model_of(seed=9)
    history, states = validation_run(whole)
    best = int(np.argmin([row["evaluation_total"] for row in history]))
    state = states[best + 1]
    assert state.best.loss == history[best]["evaluation_total"]
    again, _ = validation_run(resumed, resume_from=state)
    assert losses_of(again) == losses_of(history)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_training_follows_from_the_seed_and_leaves_torchs_generator_alone():
    bags, genes = planted(12)
    before = torch.random.get_rng_state()
    first = pretrain(model_of(), PairedData(bags, genes), settings_of(epochs=2), layout=CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(123)
    second = pretrain(model_of(), PairedData(bags, genes), settings_of(epochs=2), layout=CPU)
    assert losses_of(first) == losses_of(second)
    third = pretrain(model_of(), PairedData(bags, genes), settings_of(epochs=2, seed=4), layout=CPU)
    assert losses_of(first) != losses_of(third)


def test_bfloat16_autocast_trains():
    bags, genes = planted(16)
    history = pretrain(model_of(), PairedData(bags, genes), settings_of(precision="bfloat16", epochs=6), layout=CPU)
    assert history[-1]["total"] < history[0]["total"]


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    bags, genes = planted(12)
    bags.arrays[int(epoch_batches(12, settings_of(batch_size=4), 1)[2][0])][:] = 3e38
    model = model_of()
    finished = []
    chosen = settings_of(batch_size=4)
    quiet = ArrayBags([np.zeros((3, PATCH_DIM), np.float32)] * 12)

    class Poisoned:
        """Well-behaved in the first epoch, infinite in the third batch of the second."""

        def __len__(self):
            return 12

        def __getitem__(self, i):
            return (bags if finished else quiet)[i]

        def size(self, i):
            return len(self[i])

        def rows(self, i, index):
            return self[i][index]

    with pytest.raises(MirrorflowError, match=r"not finite at epoch 2, step 3 \(total=.*lower learning_rate"):
        pretrain(model, PairedData(Poisoned(), genes), chosen, layout=CPU, on_epoch=lambda *_: finished.append(1))
    assert len(finished) == 1
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_training_set_under_the_batch_size_works_and_is_said(caplog):
    bags, genes = planted(5)
    with caplog.at_level(logging.WARNING, "mirrorflow.pretraining"):
        history = pretrain(model_of(), PairedData(bags, genes), settings_of(epochs=1, drop_last=True), layout=CPU)
    assert "5 training units are fewer than batch_size 16" in caplog.text
    assert math.isfinite(history[0]["total"])


def test_batches_cover_every_unit_once_in_another_order_each_epoch():
    chosen = settings_of(batch_size=8)
    first, second = (epoch_batches(20, chosen, epoch) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [8, 8, 4]
    assert sorted(np.concatenate(first)) == list(range(20))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert [len(batch) for batch in epoch_batches(20, settings_of(batch_size=8, drop_last=True), 0)] == [8, 8]


def test_a_last_batch_of_one_unit_is_merged_into_the_one_before():
    assert [len(batch) for batch in epoch_batches(17, settings_of(batch_size=8), 0)] == [8, 9]


def test_what_does_not_pair_up_is_refused():
    bags, genes = planted(4)
    with pytest.raises(InputError, match="4 bags beside 3 expression profiles"):
        pretrain(model_of(), PairedData(bags, genes[:3]), settings_of(), layout=CPU)
    with pytest.raises(InputError, match="InfoNCE needs at least 2"):
        pretrain(model_of(), PairedData(SomeBags(bags, [0]), genes[:1]), settings_of(), layout=CPU)
    with pytest.raises(InputError, match="expression holds NaN"):
        pretrain(model_of(), PairedData(bags, np.full_like(genes, np.nan)), settings_of(), layout=CPU)
    with pytest.raises(ConfigError, match="tokens is 11, but the model has only 10 positions"):
        pretrain(model_of(), PairedData(bags, genes), settings_of(tokens=11), layout=CPU)


def test_an_empty_bag_is_refused_by_name():
    bags, genes = planted(4)
    bags = ArrayBags([*bags.arrays[:3], np.zeros((0, PATCH_DIM), np.float32)], ["a", "b", "c", "TCGA-XX"])
    with pytest.raises(InputError, match="TCGA-XX: no patches"):
        pretrain(model_of(), PairedData(SomeBags(bags, [3, 2, 1, 0]), genes), settings_of(), layout=CPU)


@pytest.mark.parametrize("short", ["resample", "mask"])
@pytest.mark.parametrize("attention", ["exact", "nystrom"])
def test_bags_of_one_patch_train(short, attention):
    bags, genes = planted(4)
    bags = ArrayBags([bag[:1] for bag in bags.arrays])
    history = pretrain(
        model_of(attention=attention), PairedData(bags, genes), settings_of(epochs=1, short=short), layout=CPU
    )
    assert math.isfinite(history[0]["total"])


def test_a_full_gpu_ends_with_what_to_set(monkeypatch):
    bags, genes = planted(4)
    model = model_of()

    def full(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(MirrorflowError, match=r"4 tokens at a time.*activation_checkpointing: true.*micro_batch: 1"):
        pretrain(model, PairedData(bags, genes), settings_of(tokens=4), layout=CPU)


@pytest.mark.parametrize("count", [4, 8])
def test_a_full_gpu_trains_with_half_of_what_there_is(count, monkeypatch):
    """Also of a fold that is smaller than a batch, whose half would be all of it."""
    bags, genes = planted(count)
    model, most = model_of(), count // 2
    forward = model.forward

    def full(patches, *more, **others):
        if len(patches) > most:
            raise torch.OutOfMemoryError
        return forward(patches, *more, **others)

    monkeypatch.setattr(model, "forward", full)
    history = pretrain(model, PairedData(bags, genes), settings_of(epochs=1, batch_size=64), layout=CPU)
    assert math.isfinite(history[0]["total"])


def test_memory_that_ends_beside_the_rank_repeats_no_step(monkeypatch):
    bags, genes = planted(8)
    model = model_of()
    encode, moves, move = model.encode_slides, [], Trainer._move

    def full(patches, **more):
        if not torch.is_grad_enabled() and len(patches) > 2:
            raise torch.OutOfMemoryError
        return encode(patches, **more)

    monkeypatch.setattr(model, "encode_slides", full)
    monkeypatch.setattr(Trainer, "_move", lambda self: moves.append(move(self)))
    settings = settings_of(epochs=1, batch_size=4, kept_epoch="smooth_rank")
    history = pretrain(model, PairedData(bags, genes), settings, layout=CPU)
    assert len(moves) == 2
    assert history[0]["minus_smooth_rank"] < -1


def test_the_history_says_how_long_the_device_waited_for_data():
    bags, genes = planted(4)
    row = pretrain(model_of(), PairedData(bags, genes), settings_of(epochs=1), layout=CPU)[0]
    assert 0 <= row["waited_seconds"] < row["seconds"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"precision": "half"}, "precision is 'half'; allowed: float32"),
        ({"short": "drop"}, "short is 'drop'; allowed: resample, mask"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings_of(**changes)


def test_tokens_are_drawn_without_replacement_unless_the_bag_is_smaller():
    rng = np.random.default_rng(0)
    assert sorted(draw_rows(6, 6, rng)) == list(range(6))
    assert len(set(draw_rows(6, 4, rng))) == 4
    assert draw_rows(6, 9, rng).shape == (9,)
    assert draw_rows(1, 3, rng).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="empty bag"):
        draw_rows(0, 3, rng)


def test_short_bags_are_padded_with_zeros_and_counted():
    bags = ArrayBags([np.ones((2, 3), np.float32), np.ones((9, 3), np.float32)])
    rngs = [np.random.default_rng(0)] * 2
    batch = draw_batch(bags, np.array([0, 1]), tokens=4, short="mask", rngs=rngs)
    assert batch.counts.tolist() == [2, 4]
    assert batch.patches.sum(dim=(1, 2)).tolist() == [6.0, 12.0]
    assert draw_batch(bags, np.array([0, 1]), tokens=4, short="resample", rngs=rngs).counts is None


def test_patch_moments_are_those_of_all_patches():
    rng = np.random.default_rng(0)
    bags = [(1e3 + rng.normal(size=(n, 4))).astype(np.float32) for n in (1, 7, 30)]
    for bag in bags:
        bag[:, 3] = 0.1
    mean, sd = patch_moments(ArrayBags(bags))
    together = np.concatenate(bags).astype(np.float64)
    np.testing.assert_allclose(mean, together.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(sd[:3], together.std(axis=0)[:3], rtol=1e-5)
    assert sd[3] == 1.0


@pytest.mark.parametrize(("threads", "on_gpu"), [(1, False), (2, False), (1, True)])
def test_prefetching_keeps_order_hands_on_errors_and_ends_its_thread(monkeypatch, threads, on_gpu):
    """On one thread of a processor there is none for it: items are made when they are asked for."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_gpu)
    makers = set()

    def broken():
        makers.add(threading.current_thread().name)
        yield 1
        raise KeyError

    assert list(prefetched(range(20))) == list(range(20))
    with pytest.raises(KeyError):
        list(prefetched(broken()))
    here = threading.current_thread().name
    assert makers == {"mirrorflow-prefetch" if threads > 1 or on_gpu else here}
    with closing(prefetched(iter(int, 1))) as endless:
        assert next(endless) == 0
    assert [thread for thread in threading.enumerate() if thread.name == "mirrorflow-prefetch"] == []


def test_learning_rate_warms_up_and_follows_the_schedule():
    factors = [learning_rate_factor(step, 10, schedule="cosine", warmup_steps=2) for step in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert {learning_rate_factor(step, 10, schedule="constant") for step in range(10)} == {1.0}


def test_recall_counts_siblings_as_positives_and_ties_against():
    gallery = np.eye(3)
    assert recall_at(gallery, gallery, ["a", "b", "c"], ks=(1,)) == {1: 1.0}
    swapped = gallery[[1, 0, 2]]
    assert recall_at(swapped, gallery, ["a", "b", "c"], ks=(1, 3)) == {1: pytest.approx(1 / 3), 3: 1.0}
    assert recall_at(swapped, gallery, ["a", "a", "c"], ks=(1,)) == {1: 1.0}
    assert recall_at(np.ones((3, 3)), np.ones((3, 3)), ["a", "b", "c"], ks=(1,)) == {1: 0.0}
    units = np.eye(3)
    report = retrieval_report(3 * units, units, ["a", "b", "c"])
    assert report["modality_gap"] == 2
    assert report["modality_gap_unit"] == 0
    assert modality_gap(np.zeros((2, 2)), np.array([[3.0, 4], [0, 0]])) == 2.5


def test_chance_is_what_random_orders_give():
    patients = ["a", "a", "b", "c", "d", "e", "e", "e"]
    rng = np.random.default_rng(0)
    draws = [recall_at(rng.normal(size=(8, 4)), rng.normal(size=(8, 4)), patients, (1, 3)) for _ in range(4000)]
    for k, chance in chance_at(patients, (1, 3)).items():
        assert chance == pytest.approx(np.mean([draw[k] for draw in draws]), abs=0.01)
    assert chance_at(["a", "b"], (1, 5)) == {1: 0.5, 5: 1.0}
