"""Entropic optimal transport of tokens to prototypes: batched, masked, by Newton on the dual.

:func:`transport` solves a :class:`Problem`, which :func:`partial` and its like make.
"""

from mirrorflow.models.transport.problem import Problem, balanced, partial, semi_relaxed, soft_sink, unbalanced
from mirrorflow.models.transport.solve import Transport, transport

__all__ = ["Problem", "Transport", "balanced", "partial", "semi_relaxed", "soft_sink", "transport", "unbalanced"]
