"""A hub that is not there is known after seconds, whatever its library would try."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from mirrorflow.errors import InputError
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.store import reach
from mirrorflow.store.weights import encoder_weights

PHIKON = {"name": "phikon", "model": "phikon", "weights": "hub"}
RESNET = {"name": "resnet50", "model": "resnet50", "weights": "hub"}


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    reach.silence_of.cache_clear()
    yield
    reach.silence_of.cache_clear()


@pytest.fixture
def nobody() -> Iterator[str]:
    """Address of a port that takes no calls."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a host that takes calls and says nothing."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def refusing() -> Iterator[str]:
    """Address of a host that answers every request with 404."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.do_HEAD = lambda self: self.send_error(404)  # type: ignore[attr-defined]
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/file"
    server.shutdown()
    server.server_close()


def test_a_host_that_takes_no_calls_is_said_with_the_reason(nobody):
    assert "cannot be reached: [Errno 111] Connection refused" in reach.silence_of(nobody)


def test_an_error_is_an_answer(refusing):
    assert reach.silence_of(refusing) == ""


def test_a_host_is_asked_once_and_for_a_short_time(silent, monkeypatch):
    monkeypatch.setattr(reach, "PROBE_S", 0.2)
    before = time.monotonic()
    for _ in range(3):
        assert "within 0.2 s" in reach.silence_of(silent) or "timed out" in reach.silence_of(silent)
    assert time.monotonic() - before < 1


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(reach, "PROBE_S", 0.2)
    monkeypatch.setattr(reach, "_ask", lambda _: ended.wait(20))
    assert reach.silence_of("https://hub.example/x") == "hub.example cannot be reached: no answer within 0.2 s"
    ended.set()


@pytest.mark.parametrize("settings", [PHIKON, PHIKON | {"model": "timm/vit_tiny_patch16_224"}])
def test_weights_of_a_hub_out_of_reach_are_refused_at_once(settings, nobody, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    before = time.monotonic()
    with pytest.raises(
        InputError, match=r"127\.0\.0\.1.*cannot be reached: .*Connection refused.*set weights to the f"
    ):
        encoder_weights(encoder_from(settings))
    assert time.monotonic() - before < 5
    assert constants.HF_HUB_OFFLINE is False


def test_weights_that_torch_has_fetched_before_need_no_network(nobody, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("mirrorflow.store.weights._source", lambda _: f"{nobody}/resnet50.pth")
    with pytest.raises(InputError, match=r"cannot be reached: .*Connection refused.*set weights to the file's path"):
        encoder_weights(encoder_from(RESNET))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet50.pth").touch()
    kept: dict[str, Any] = {"conv1.weight": Path}
    monkeypatch.setattr("mirrorflow.store.weights._from_hub", lambda _: kept)
    assert encoder_weights(encoder_from(RESNET)) is kept
