"""torch._dynamo, imported when something wants it: training without torch.compile starts earlier.

The first optimiser of a process imports all of torch.compile's machinery (seen in torch 2.15: ``disable`` in
torch/_compile.py, ``graph_break`` in torch/optim/optimizer.py), to tell it to keep off. Where nothing is compiled
there is nobody to tell. Any other use of the module loads it.

It costs 1.4 to 1.7 CPU seconds a training process (3 to 10 s of a cold or busy machine). torch offers no way around
it: TORCHDYNAMO_DISABLE and TORCH_COMPILE_DISABLE are read after the import, and an optimiser's constructor,
``zero_grad`` and ``step`` import unconditionally. A tiny run has 20 such processes; once folds and methods share
processes, this module is worth less than it is odd, and goes.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class LateDynamo(ModuleType):
    """Stands for the module until it is asked for more than to keep off."""

    def __init__(self) -> None:
        super().__init__(NAME, "Loaded when it is used.")

    @staticmethod
    def graph_break() -> None:
        """Nothing: outside a compiled function this is what torch's own does."""

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function itself: nothing is compiled around it."""
        return function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # asked of every module (inspect, warnings)
            raise AttributeError(name)
        return getattr(_load(), name)


def import_dynamo_late() -> None:
    """Put the import of torch._dynamo off until it is used; nothing where it has happened."""
    sys.modules.setdefault(NAME, LateDynamo())


def _load() -> ModuleType:
    if isinstance(sys.modules.get(NAME), LateDynamo):
        del sys.modules[NAME]
    return importlib.import_module(NAME)
