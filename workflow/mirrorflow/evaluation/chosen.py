"""Which evaluation patients of a method are explained, by a fixed rule from its stored predictions alone.

Subtyping: of each class the unit nearest to the median probability of its own class. Survival: of each quartile of the
risk (within folds: risks of different folds share no scale) the unit nearest to the quartile's middle. Then the two
worst errors: least probability of the own class; of those who died, most wrongly ordered pairs within the fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

ERRORS, QUARTILES = 2, 4


@dataclass(frozen=True)
class Choice:
    """The row of a unit in the frame it was chosen from, and why it was."""

    row: int
    why: str


def typical_of_classes(rows: pd.DataFrame, classes: Sequence[str]) -> list[Choice]:
    """Of each class that has a unit the one nearest to its median; ``rows``: unit, label, prob_<class>."""
    found = []
    for name in classes:
        at = np.flatnonzero((rows["label"] == name).to_numpy())
        if len(at):
            own = rows[f"prob_{name}"].to_numpy(float)[at]
            found.append(
                Choice(_nearest(rows, at, own, float(np.median(own))), f"nearest to the median of class {name}")
            )
    return found


def worst_of_classes(rows: pd.DataFrame, classes: Sequence[str]) -> list[Choice]:
    """The units of least probability of their own class, among those that are predicted to be of another."""
    probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(float)
    number = {name: at for at, name in enumerate(classes)}
    own = rows["label"].map(number).to_numpy(int)
    given = probabilities[np.arange(len(rows)), own]
    wrong = np.flatnonzero(probabilities.argmax(1) != own)
    order = wrong[np.lexsort((rows["unit"].to_numpy(str)[wrong], given[wrong]))][:ERRORS]
    return [Choice(int(at), _worst(place)) for place, at in enumerate(order)]


def typical_of_risks(rows: pd.DataFrame) -> list[Choice]:
    """Of each quartile of the risk within folds the unit nearest to its middle; ``rows``: unit, fold, risk."""
    share = (rows.groupby("fold")["risk"].rank() - 0.5) / rows.groupby("fold")["risk"].transform("size")
    found = []
    for quartile in range(QUARTILES):
        low, high = quartile / QUARTILES, (quartile + 1) / QUARTILES
        at = np.flatnonzero(((share >= low) & (share < high)).to_numpy())
        if len(at):
            nearest = _nearest(rows, at, share.to_numpy(float)[at], (low + high) / 2)
            found.append(Choice(nearest, f"nearest to the middle of risk quartile {quartile + 1} of {QUARTILES}"))
    return found


def worst_of_risks(rows: pd.DataFrame) -> list[Choice]:
    """Of those who died the units with most wrongly ordered pairs: others of the fold who are known to have lived
    longer and have a higher risk. ``rows``: unit, fold, risk, time_days, event. None without an event.
    """
    wrong = np.full(len(rows), -1.0)
    for _, part in rows.reset_index(drop=True).groupby("fold"):
        time, risk = part["time_days"].to_numpy(float), part["risk"].to_numpy(float)
        longer = time[None] > time[:, None]
        pairs = (longer & (risk[None] > risk[:, None])).sum(1)
        wrong[part.index] = np.where(part["event"].to_numpy(float) == 1, pairs, -1.0)
    order = np.lexsort((rows["unit"].to_numpy(str), -wrong))[:ERRORS]
    return [Choice(int(at), _worst(place)) for place, at in enumerate(order) if wrong[at] > 0]


def _worst(place: int) -> str:
    return "the worst error" if place == 0 else "the second worst error"


def _nearest(rows: pd.DataFrame, at: np.ndarray, values: np.ndarray, wanted: float) -> int:
    """The row nearest to a value; of two as near the one whose unit's name comes first."""
    distance = np.abs(values - wanted).round(12)
    return int(at[np.lexsort((rows["unit"].to_numpy(str)[at], distance))[0]])


def merged(choices: Sequence[Choice], most: int | None = None) -> list[Choice]:
    """The first ``most`` units in their order; one that was chosen twice has both reasons."""
    reasons: dict[int, list[str]] = {}
    for one in choices:
        reasons.setdefault(one.row, []).append(one.why)
    return [Choice(row, "; ".join(why)) for row, why in list(reasons.items())[:most]]
