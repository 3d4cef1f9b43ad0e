"""What an answer loses when patches are left out: by group, and one after the other against a random order.

An answer is a number that a model gives for a bag of which some patches are kept: a log-odds, a risk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Answer = Callable[[np.ndarray], float]
"""The answer for the patches at these positions, of which there is one at least."""


def neighbours(places: np.ndarray, groups: int) -> list[np.ndarray]:
    """Positions of the patches of ``groups`` groups (or one a patch) of neighbours; their sizes differ by 1 at most.

    places [patch, 2]. The patches are halved across their longer side until there are enough; nothing is drawn.
    """
    return _split(places, np.arange(len(places)), min(groups, len(places)))


def _split(places: np.ndarray, own: np.ndarray, groups: int) -> list[np.ndarray]:
    if groups <= 1:
        return [np.sort(own)] if len(own) else []
    spans = np.ptp(places[own], axis=0)
    along = int(spans[1] > spans[0])
    order = own[np.lexsort((places[own, 1 - along], places[own, along]))]
    left = groups // 2
    # as many patches as the groups on that side take, the larger ones first
    small, larger = divmod(len(own), groups)
    cut = left * small + min(left, larger)
    return _split(places, order[:cut], left) + _split(places, order[cut:], groups - left)


def effects(answer: Answer, patches: int, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Answer of all ``patches`` less that without each group [group]: above 0 where the group raises it.

    A group of all patches has NaN: there is no answer without any.
    """
    whole, everyone = answer(np.arange(patches)), np.arange(patches)
    found = np.full(len(groups), np.nan)
    for number, group in enumerate(groups):
        rest = np.setdiff1d(everyone, group, assume_unique=True)
        if len(rest):
            found[number] = whole - answer(rest)
    return found


def per_patch(values: np.ndarray, groups: Sequence[np.ndarray], patches: int) -> np.ndarray:
    """The value of each patch's group [patch]."""
    found = np.full(patches, np.nan)
    for value, group in zip(values, groups, strict=True):
        found[group] = value
    return found


@dataclass(frozen=True)
class DeletionCurve:
    """Answers after a share of the patches is left out [step], from none to all but the last step's.

    ordered [step]: those of largest weight first; random [order, step]: in random orders.
    """

    left_out: np.ndarray
    ordered: np.ndarray
    random: np.ndarray

    @property
    def area(self) -> float:
        """Mean answer of the random orders less the ordered one, over the steps: above 0 where the patches of largest
        weight carry more of the answer than others.
        """
        return float((self.random.mean(0) - self.ordered).mean()) if len(self.random) else float("nan")


def deletion_curve(answer: Answer, weights: np.ndarray, *, steps: int, orders: int, seed: int) -> DeletionCurve:
    """Leave the patches out in the order of ``weights`` [patch], largest first, and in ``orders`` random ones."""
    patches, rng = len(weights), np.random.default_rng(seed)
    gone = np.unique(np.arange(min(steps, patches)) * patches // min(steps, patches))
    whole = answer(np.arange(patches))

    def along(order: np.ndarray) -> np.ndarray:
        return np.array([whole, *(answer(np.sort(order[count:])) for count in gone[1:])])

    by_weight = along(np.argsort(-weights, kind="stable"))
    drawn = [along(rng.permutation(patches)) for _ in range(orders)]
    return DeletionCurve(gone / patches, by_weight, np.array(drawn).reshape(len(drawn), len(gone)))
