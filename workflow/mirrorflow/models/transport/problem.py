"""Transport problems by name: how hard each marginal is held. Free of torch.

All of them minimise over Q >= 0 the sum <Q, C> - eps H(Q) + a penalty on each marginal. H is the entropy, the sum of
-Q log Q + Q, as in the scaling algorithm that TTA's Eq. 25 leads to (POT: ``reg_type="entropy"``). A marginal of weight
g is penalised by g KL(x || b), with -x + b in the KL (Eq. 50; Eq. 35 leaves it out, the same while the mass is fixed).
A sweep then takes x = b^f y^(1-f), f = g / (g + eps) (Eq. 53): f = 1 holds x = b, f = 0 asks nothing.

Rows are tokens. Each real one has mass 1/n, n the slide's real tokens. Columns are prototypes, then the sink if there
is one: a column that costs nothing and takes what is not to be transported.
"""

import math
from dataclasses import dataclass, replace

from mirrorflow.errors import ConfigError


@dataclass(frozen=True)
class Problem:
    """``masses`` (b) and ``exponents`` (f) of each column, the sink's last; ``row_exponent``: f of every row.

    A column of mass 0 that is asked for is closed: it gets nothing. Made by :func:`balanced`, :func:`semi_relaxed`,
    :func:`partial`, :func:`soft_sink` and :func:`unbalanced`. Raises ConfigError where numbers are out of range.
    """

    epsilon: float
    masses: tuple[float, ...]
    exponents: tuple[float, ...]
    row_exponent: float = 1.0
    sink: bool = False

    def __post_init__(self) -> None:
        _refuse(not 0 < self.epsilon < math.inf, f"epsilon is {self.epsilon}; a number above 0 is needed, such as 0.1")
        _refuse(not self.prototypes, "there are no prototypes; at least one is needed")
        lengths = len(self.masses), len(self.exponents)
        _refuse(lengths[0] != lengths[1], f"{lengths[0]} masses and {lengths[1]} exponents; give one of each a column")
        _refuse(not all(0 <= mass < math.inf for mass in self.masses), f"masses are {self.masses}; none is below 0")
        _refuse(not any(self.masses), "all columns have mass 0; one at least needs more")
        for exponent in (*self.exponents, self.row_exponent):
            _refuse(not 0 <= exponent <= 1, f"an exponent is {exponent}; they go from 0 (free) to 1 (held)")
        _refuse(self.row_exponent == 0, "rows are free; their exponent must be above 0")
        self._check_total()

    def _check_total(self) -> None:
        total = math.fsum(self.masses)
        wrong = self.all_held and abs(total - 1) > 1e-6
        _refuse(wrong, f"all marginals are held and the columns' masses add up to {total}; make that 1, the rows' sum")

    @property
    def prototypes(self) -> int:
        """Columns without the sink."""
        return len(self.masses) - self.sink

    def with_epsilon(self, epsilon: float) -> "Problem":
        """The same marginals at the same weights, with another epsilon."""

        def moved(f: float) -> float:
            return f if f in (0, 1) else 1 / (1 + (1 - f) / f * epsilon / self.epsilon)

        exponents = tuple(moved(f) for f in self.exponents)
        return replace(self, epsilon=epsilon, exponents=exponents, row_exponent=moved(self.row_exponent))

    @property
    def all_held(self) -> bool:
        """Whether rows and columns are held: scalings are then known up to a shift."""
        return self.row_exponent == 1 and all(f == 1 for f, b in zip(self.exponents, self.masses, strict=True) if b > 0)

    @property
    def contraction(self) -> float:
        """By what a sweep shrinks the largest error of log scalings, at least; 1: no such bound."""
        return self.row_exponent * max(f for f, b in zip(self.exponents, self.masses, strict=True) if b > 0)


def balanced(prototypes: int, epsilon: float) -> Problem:
    """Every prototype gets 1/K: the classical problem, Eq. 24 of TTA with equalities."""
    return semi_relaxed(prototypes, epsilon, math.inf)


def semi_relaxed(prototypes: int, epsilon: float, gamma: float, rho: float = 1.0) -> Problem:
    """Rows held, gamma KL(columns || rho/K): Eq. 7 of TTA, with ``rho`` its Eq. 8 (the mass is 1 all the same).

    ``gamma`` inf holds the columns, 0 frees them.
    """
    exponent, share = _exponent(gamma, epsilon), _share(rho, prototypes)
    return Problem(epsilon, (share,) * prototypes, (exponent,) * prototypes)


def partial(prototypes: int, epsilon: float, gamma: float, rho: float) -> Problem:
    """Mass rho exactly on the prototypes, gamma KL(columns || rho/K), the rest in the sink.

    Eq. 37 of TTA, which its Algorithm 2 and its code solve, and OTSurv's problem. ``gamma`` inf: TTA's "general OT".
    """
    exponent, share = _exponent(gamma, epsilon), _share(rho, prototypes)
    return Problem(epsilon, (share,) * prototypes + (1 - rho,), (exponent,) * prototypes + (1.0,), sink=True)


def soft_sink(prototypes: int, epsilon: float, gamma: float, rho: float) -> Problem:
    """As :func:`partial`, the sink penalised like any prototype: Eq. 11 of TTA, whose mass is not rho."""
    exponent, share = _exponent(gamma, epsilon), _share(rho, prototypes)
    return Problem(epsilon, (share,) * prototypes + (1 - rho,), (exponent,) * (prototypes + 1), sink=True)


def unbalanced(prototypes: int, epsilon: float, gamma: float, row_gamma: float) -> Problem:
    """Both marginals penalised: row_gamma KL(rows || 1/n) + gamma KL(columns || 1/K)."""
    _refuse(not row_gamma > 0, f"row_gamma is {row_gamma}; a number above 0 is needed (inf holds the rows)")
    exponent, share = _exponent(gamma, epsilon), _share(1.0, prototypes)
    rows = _exponent(row_gamma, epsilon)
    return Problem(epsilon, (share,) * prototypes, (exponent,) * prototypes, rows)


def _exponent(gamma: float, epsilon: float) -> float:
    _refuse(not 0 < epsilon < math.inf, f"epsilon is {epsilon}; a number above 0 is needed, such as 0.1")
    _refuse(not gamma >= 0, f"gamma is {gamma}; it is 0 (prototypes are free), a weight, or inf (they are held)")
    return 1.0 if gamma == math.inf else gamma / (gamma + epsilon)


def _share(rho: float, prototypes: int) -> float:
    _refuse(not 0 < rho <= 1, f"rho is {rho}; it is the share of mass that prototypes get: above 0, at most 1")
    _refuse(prototypes < 1, f"{prototypes} prototypes; at least one is needed")
    return rho / prototypes


def _refuse(wrong: bool, message: str) -> None:  # noqa: FBT001
    if wrong:
        text = f"transport: {message}"
        raise ConfigError(text)
