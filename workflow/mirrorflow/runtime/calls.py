"""A call that another process makes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A function of a module (pickled by name) and what to call it with; ``label`` is for messages."""

    function: Callable[..., Any]
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]
    label: str
