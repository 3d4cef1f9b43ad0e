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


@pytest.mark.parametrize("method", [one for one in TRAINED if "repository" in one.presets], ids=lambda one: one.name)
def test_a_preset_of_a_repository_says_in_its_entry_where_it_differs(method):
    """What its deviations name of the public optimiser, batches and dropout is what the preset cannot set."""
    assert method.deviations
    for said in DECLARED.get(method.name, ()):
        assert said in " ".join(method.deviations.split()), said


DECLARED = {
    "abmil": ["dropout of 0.1 of the features"],
    "snn": ["apart from the gradient", "RAdam"],
    "transmil": ["apart from the gradient", "RAdam", "Lookahead"],
    "attnmisl": ["L2 penalty", "AdamW", "without an event"],
}


def test_presets_of_repositories_have_what_can_be_set():
    """AttnMISL draws plain batches and Breslow's risk sets; TransMIL has one rate, and no decay of biases."""
    attnmisl, transmil = (METHODS[name].resolved(name, {"preset": "repository"})["train"] for name in PLAIN)
    assert (attnmisl["batches"], attnmisl["ties"], attnmisl["weight_decay"]) == ("random", "breslow", 0.0005)
    assert (transmil["schedule"], transmil["decay"], transmil["weight_decay"]) == ("constant", "matrices", 0.00001)
    of_attnmisl = {layer.part: layer for layer in layers_of(METHODS["attnmisl"])}["training"]
    assert "L2 as a decay apart from the gradient" in of_attnmisl.why


PLAIN = ("attnmisl", "transmil")


def test_a_setting_that_a_method_does_not_have_is_no_silent_gap(monkeypatch):
    monkeypatch.setattr("mirrorflow.models.tangle.LAYERS", (Layer("a", "b", "{no_such_setting}"),))
    with pytest.raises(KeyError, match="no_such_setting"):
        layers_of(METHODS["tangle"])
