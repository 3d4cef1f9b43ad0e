"""The bench's scenarios by name. A scenario is a module with ``run``; a new one is a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import pandas as pd

from mirrorflow.bench.request import Request
from mirrorflow.errors import InputError


@dataclass(frozen=True)
class Result:
    """What a scenario found."""

    table: pd.DataFrame
    said: tuple[str, ...] = ()
    """Sentences to read before the table."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Printed last, as name=value."""


@dataclass(frozen=True)
class Scenario:
    """What a scenario asks, and the module that answers."""

    about: str
    module: str

    def run(self, request: Request) -> Result:
        """Answer; the module is imported only now."""
        answer: Callable[[Request], Result] = import_module(self.module).run
        return answer(request)


SCENARIOS: dict[str, Scenario] = {
    "linear": Scenario(
        "which linear method finds how much of shared, slide-only, RNA-only and interacting signals",
        "mirrorflow.bench.linear",
    ),
    "verdicts": Scenario(
        "how often verdicts are wrong for equal methods, and what they find, at 36 to 58 events",
        "mirrorflow.bench.verdicts",
    ),
    "mirror-parts": Scenario(
        "what each part of MIRROR's objective, and its attention, is worth at a small size",
        "mirrorflow.bench.mirror_parts",
    ),
    "tta-parts": Scenario(
        "what curriculum, transport and anchors of TTA are worth, at a small size and a thousand events",
        "mirrorflow.bench.tta_parts",
    ),
}


def scenario(name: str) -> Scenario:
    """The scenario of that name. Raises InputError for none."""
    if name not in SCENARIOS:
        message = f"bench: {name!r} is no scenario (there: {', '.join(SCENARIOS)})"
        raise InputError(message)
    return SCENARIOS[name]
