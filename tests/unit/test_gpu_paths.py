"""What is done on a GPU alone, held without one: streams, readers, memory, what is compiled, what rates hold."""

import contextlib
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mirrorflow.errors import ConfigError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.supervised import Sizes
from mirrorflow.models.supervised import build_network as build_supervised
from mirrorflow.steps.slides import extract_features
from mirrorflow.steps.training import measure_complexity
from mirrorflow.training import devices, loading, supervised, trainer
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.compute import to_compile
from mirrorflow.training.loading import Loader, received
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import PretrainSettings
from planted import GENES, PATCH_DIM, TOKENS, planted

ROOT = Path(__file__).parents[2]
GPU = torch.device("cuda")


def network_of():
    shape = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "dropout": 0.0}
    return build_network("mirror", MirrorSettings(PATCH_DIM, GENES, **shape), 0)


def test_rates_are_taken_when_the_device_has_done_its_work(monkeypatch):
    monkeypatch.setattr(trainer, "wait_for", lambda _: time.sleep(0.3))
    bags, genes = planted(4)
    settings = PretrainSettings(epochs=1, batch_size=4, tokens=TOKENS, precision="float32")
    row = pretrain(network_of(), PairedData(bags, genes), settings, layout=Layout("cpu"))[0]
    assert row["seconds"] >= 0.3
    assert row["samples_per_second"] <= 4 / 0.3


@pytest.fixture
def streams(monkeypatch):
    """Streams and events that write down what is done with them; memory is never really pinned."""
    done, current, to, empty = [], ["compute"], torch.Tensor.to, torch.empty

    @contextlib.contextmanager
    def on(stream):
        current.append(stream)
        try:
            yield
        finally:
            current.pop()

    def event():
        return SimpleNamespace(
            record=lambda stream: done.append(f"recorded on {stream}"), synchronize=lambda: done.append("waited")
        )

    def moved(tensor, device, **how):
        if torch.device(device).type != "cuda":
            return to(tensor, device, **how)
        done.append(f"copied on {current[-1]}, {how}")
        return tensor.clone()

    loading._copy_stream.cache_clear()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: done.append("made") or "side")
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "Event", event)
    compute = SimpleNamespace(wait_event=lambda _: done.append("compute waits for the event"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: compute)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: done.append("kept for compute"))
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda _: True)
    monkeypatch.setattr(torch.Tensor, "to", moved)
    monkeypatch.setattr(loading.torch, "empty", lambda *shape, pin_memory=False: empty(*shape))
    yield done
    loading._copy_stream.cache_clear()


@pytest.mark.parametrize("whole", [False, True])
def test_bags_are_copied_on_a_stream_of_their_own_and_compute_waits_for_the_copy(streams, whole):
    bags, loader = ArrayBags([np.arange(12, dtype=np.float32).reshape(4, 3)]), Loader(GPU)
    if whole:
        batch = loader.whole(bags, 0)
    else:
        rngs = [np.random.default_rng(0)]
        batch = loader.draw(bags, np.array([0]), tokens=4, short="mask", rngs=rngs)
    assert streams == ["made", "copied on side, {'non_blocking': True}", "recorded on side"]
    streams.clear()
    assert received(batch, GPU).sum() == 66
    assert streams == ["compute waits for the event", "kept for compute"]


def test_a_bag_for_which_a_gpu_has_no_room_now_is_brought_by_whoever_receives_it(streams, monkeypatch):
    moved, full = torch.Tensor.to, [True]

    def to(tensor, device, **how):
        if full and torch.device(device).type == "cuda":
            raise torch.OutOfMemoryError(full.pop())
        return moved(tensor, device, **how)

    monkeypatch.setattr(torch.Tensor, "to", to)
    loader = Loader(GPU)
    first = loader.whole(ArrayBags([np.ones((4, 3), np.float32)]), 0)
    loader.whole(ArrayBags([np.zeros((4, 3), np.float32)]), 0)  # into the same piece
    assert first.copied is None
    streams.clear()
    assert received(first, GPU).sum() == 12
    assert streams == ["copied on compute, {}"]


def test_loaders_share_a_stream_so_that_its_memory_serves_the_next(streams):
    for _ in range(2):
        Loader(GPU).whole(ArrayBags([np.ones((4, 3), np.float32)]), 0)
    assert streams.count("made") == 1


def test_pinned_memory_is_used_again_when_its_copy_has_ended(streams):
    bags, loader = ArrayBags([np.ones((4, 3), np.float32)]), Loader(GPU)
    for _ in range(3):
        loader.whole(bags, 0)
    assert streams.count("waited") == 1  # the third takes the memory of the first


def test_prediction_reads_each_bag_once_through_the_loader_and_its_answers_together(monkeypatch):
    bags, genes = planted(3)
    network, asked = build_supervised("abmil", Sizes(PATCH_DIM, 0, 2), {}, 0), []

    class Counting(Loader):
        def whole(self, bags, unit):
            asked.append(unit)
            return super().whole(bags, unit)

    monkeypatch.setattr(supervised, "Loader", Counting)
    units, cpu, moved = supervised.Units(bags, genes[:, :0]), torch.Tensor.cpu, []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (moved.append(len(tensor)), cpu(tensor))[1])
    supervised.predict_units(network, units, device="cpu")
    assert asked == [0, 1, 2]
    assert moved == [3]


@pytest.fixture
def encoding(monkeypatch):
    """What extract_features asks for where the device is a GPU that lacks bfloat16."""
    asked = {}

    class Run:
        def __init__(self, *_):
            pass

        def slides(self, plans, size, prepare, **how):
            asked.update(how, size=size)
            return {}

    monkeypatch.setattr(extract_features, "Run", Run)
    monkeypatch.setattr(devices, "choose_device", lambda _: GPU)
    monkeypatch.setattr("mirrorflow.slides.encoders.build_encoder", lambda *_: None)
    monkeypatch.setattr("mirrorflow.store.weights.encoder_weights", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    return asked


def test_on_a_gpu_every_thread_reads_and_two_streams_encode_large_batches(encoding):
    spec, values = SimpleNamespace(name="e", precision="float16"), {"batch_size": 64, "max_unreadable": 0.1}
    before = torch.backends.cudnn.benchmark
    try:
        extract_features._extract([], spec, values, threads=8, workers=1, device="auto")
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = before
    assert encoding == {"readers": 7, "streams": 2, "size": 256}
    extract_features._extract([], spec, values | {"batch_size": 16}, threads=2, workers=5, device="auto")
    assert encoding == {"readers": 5, "streams": 2, "size": 64}


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_an_encoder_whose_precision_the_gpu_lacks_is_refused(encoding, precision):
    spec, values = SimpleNamespace(name="e", precision=precision), {"batch_size": 64, "max_unreadable": 0.1}
    with pytest.raises(ConfigError, match=f"precision: {precision}, but Tesla T4 has no {precision}; set .*float32"):
        extract_features._extract([], spec, values, threads=8, workers=1, device="auto")


def test_everything_heavy_is_compiled_once():
    network = network_of()
    chosen = to_compile(network)
    assert chosen == [network.slide_encoder, network.rna_encoder, network.slide_retention.block]


def test_a_share_of_a_gpu_is_a_share_of_its_memory(monkeypatch):
    shares = []
    monkeypatch.setattr(devices, "kind_of", lambda device: device)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    for device, share in (("cuda", 1), ("cpu", 4), ("cuda", 4)):
        devices.limit_memory(device, share)
    assert shares == [0.25]


def test_deterministic_says_it_to_torch_and_to_cublas(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        devices.make_deterministic(on=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert devices.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        devices.make_deterministic(on=False)
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_in_exclusive_mode_a_process_whose_children_compute_leaves_the_gpu_to_them(monkeypatch):
    def taken(*_):
        message = "CUDA-capable device(s) is/are busy or unavailable"
        raise RuntimeError(message)

    monkeypatch.setattr(torch.cuda, "get_device_name", taken)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", taken)
    monkeypatch.setattr(measure_complexity, "run_alone", lambda call: call.function.__name__)
    assert measure_complexity.machine("cuda", on_gpu=True) == "taken"  # a child's to ask
    assert devices.kind_of("auto") == "cuda"


def test_a_fold_on_several_gpus_is_placed_on_one_machine():
    assert "nodes=1," in (ROOT / "workflow" / "rules" / "pretrain.smk").read_text()


def test_no_draw_asks_for_every_gpu_of_the_machine():
    """``fork_rng`` without devices starts CUDA on each of them."""
    for path in (ROOT / "workflow").rglob("*.py"):
        for call in re.findall(r"fork_rng\(.*", path.read_text()):
            assert call.startswith("fork_rng(devices="), path
