"""The page docs/fidelity.md: method by method, layer by layer, what the public code does and what this one does.

Written from ``LAYERS`` of the families' modules, with the defaults of their settings filled in, and from the entries of
config/methods.yaml.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import defaults_of
from mirrorflow.config.methods import METHODS, Method
from mirrorflow.config.modules import optional_part_of
from mirrorflow.config.training_settings import PretrainSettings, Train

HEAD = """# Beside the public code

Written by `mirrorflow fidelity` from the methods' modules (`LAYERS`) and `config/methods.yaml`. A test holds the page
and the code together.

"Public" is what the code of a method's authors does, as its repository stands. Nobody knows which layers and settings
stand behind the baselines of MIRROR's Tables III and IV. Numbers in the column "here" are the defaults.
`preset: before-1.0` keeps the layers that a method had in this project before its public form came.
"""


def page() -> str:
    """The page as Markdown."""
    return HEAD + "".join(_section(method) for method in METHODS.values() if layers_of(method))


def layers_of(method: Method) -> list[Layer]:
    """The rows of a method, settings filled in; none for a method without layers or without public code.

    Raises KeyError for a setting that the method does not have.
    """
    if method.kind == "classical":
        return []
    values = _defaults(method)
    stated: tuple[Layer, ...] = optional_part_of("models", method.family, "LAYERS") or ()
    return [layer._replace(here=layer.here.format_map(values)) for layer in stated]


def _defaults(method: Method) -> Mapping[str, Any]:
    """A family's settings and those of its training, as a config shows them."""
    training = PretrainSettings if method.kind == "pretrained" else Train
    values = defaults_of(method.parts.get("TRAIN", training)) | defaults_of(method.parts["SETTINGS"])
    return {key: _shown(value) for key, value in values.items()}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _section(method: Method) -> str:
    rows = [f"| {row.part} | {row.public} | {row.here} | {row.why} |" for row in layers_of(method)]
    lines = ["", f"## {method.title}", "", f"{method.source}.", "", *_notes(method)]
    return "\n".join([*lines, "| part | public code | here | why it differs |", "| --- | --- | --- | --- |", *rows, ""])


def _notes(method: Method) -> Iterator[str]:
    if method.deviations:
        yield from (f"Declared in its entry: {method.deviations.strip()}", "")
    if method.presets:
        yield from (f"Presets: {', '.join(f'`{name}`' for name in method.presets)}.", "")
