"""What a method's public code does, layer by layer, and what this one does: stated in each family's module.

A family's module calls a tuple of :class:`Layer` ``LAYERS``; the page docs/fidelity.md is written from them.
"""

from typing import NamedTuple

SAME = "the same"


class Layer(NamedTuple):
    """One part of a method: in the public code, and here.

    ``here`` may name settings in braces, ``{width}``: their defaults are filled in. ``why`` is said wherever the two
    differ.
    """

    part: str
    public: str
    here: str = SAME
    why: str = ""
