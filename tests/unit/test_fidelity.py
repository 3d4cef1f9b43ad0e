"""docs/fidelity.md: written from the modules, whole, with a reason for each difference."""

from pathlib import Path

import pytest

from mirrorflow.commands.fidelity import layers_of, page
from mirrorflow.config.fidelity import SAME, Layer
from mirrorflow.config.methods import METHODS

TRAINED = [method for method in METHODS.values() if layers_of(method)]


def test_every_trained_method_of_the_published_tables_is_on_the_page():
    published = {name for name, method in METHODS.items() if method.published and method.kind != "classical"}
    assert {method.name for method in TRAINED} >= published | {"clam"}
    field = {"snn", "snntrans", "attnmisl", "transmil", "otsurv", "panther", "mmp"}
    assert published == {"mirror", "tangle", "abmil", "ilra-mil", "porpoise", "survpath", "tta"} | field


def test_the_page_is_up_to_date():
    assert Path("docs/fidelity.md").read_text() == page(), "run `mirrorflow fidelity > docs/fidelity.md`"


@pytest.mark.parametrize("method", TRAINED, ids=lambda method: method.name)
def test_every_method_says_what_its_public_code_does(method):
    layers = layers_of(method)
    assert len(layers) > 3
    assert len({layer.part for layer in layers}) == len(layers)
    for layer in layers:
        assert layer.public
        assert "|" not in "".join(layer)
        assert "{" not in layer.here
        assert not (layer.why and layer.here == SAME), layer.part


@pytest.mark.parametrize("method", TRAINED, ids=lambda method: method.name)
def test_a_number_that_differs_from_the_public_code_has_a_reason(method):
    for layer in layers_of(method):
        if not layer.why:
            assert numbers(layer.here) <= numbers(layer.public), layer.part


def numbers(text: str) -> set[float]:
    words = text.replace("3,000", "3000").replace("2,048", "2048").replace("75 %", "0.75").replace(",", " ")
    words = words.replace(";", " ").replace("(", " ").replace(")", " ")
    found = set()
    for word in words.split():
        try:
            found.add(float(word))
        except ValueError:
            continue
    return found


def test_a_setting_that_a_method_does_not_have_is_no_silent_gap(monkeypatch):
    monkeypatch.setattr("mirrorflow.models.tangle.LAYERS", (Layer("a", "b", "{no_such_setting}"),))
    with pytest.raises(KeyError, match="no_such_setting"):
        layers_of(METHODS["tangle"])
