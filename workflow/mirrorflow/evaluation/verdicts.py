"""Each method against one named beforehand, on the patients that both have; a plain verdict a cell.

Better or worse is said where two tests agree: the paired bootstrap over patients, which misses that folds train on many
of the same patients, and the corrected resampled t-test over folds, which does not (Nadeau and Bengio 2003). A
comparison's p is the larger of the two (an intersection-union test, Berger 1982: both must reject).

A family of tests, over which Holm adjusts that p, is what a reader compares at a glance: all methods (and encoders) of
one protocol, cohort, setting, task and metric. One p a comparison makes one order and one count for the family; two
adjustments could disagree on both. The primary comparison, named before the run, stands alone: it is not adjusted, and
not counted in the family of the others, which are exploratory.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mirrorflow.evaluation.cells import Cell
from mirrorflow.metrics import DISTANCES, LOWER_IS_BETTER
from mirrorflow.metrics.inference import Difference, Draws, holm, paired_difference
from mirrorflow.metrics.resampled_t import detectable

logger = logging.getLogger("mirrorflow.evaluation")

BETTER, WORSE, ALIKE, ITSELF, NONE = "better", "worse", "not distinguishable", "reference", "no verdict"
TOO_FEW = ALIKE + ": too few resamples for {} comparisons"
"""Where not even a difference of one sign in every resample could pass."""
PRIMARY, EXPLORATORY = "primary", "exploratory"
NUMBERS = (
    *("difference", "difference_low", "difference_high"),
    *("p_value", "p_t_test", "p_holm", "detectable", "detectable_holm"),
)
COLUMNS = ("reference", *NUMBERS, "verdict", "comparison", "verdict_note")
NOTHING = {"reference": "", **dict.fromkeys(NUMBERS, np.nan), **dict.fromkeys(COLUMNS[-3:], "")}

Named = tuple[Mapping[str, str], Cell]
"""A cell with what names it: protocol, cohort, encoder, method, predictions."""


@dataclass(frozen=True)
class Rule:
    """What cells are held against, at which level; the primary comparison's place, empty where none was named."""

    reference: str
    confidence: float
    primary: Mapping[str, str] = field(default_factory=dict)
    """protocol, cohort, encoder, setting, method and metric of one cell."""

    def is_primary(self, where: Mapping[str, str], cell: Cell) -> bool:
        """Whether this cell's comparison was named before the run."""
        place = {**where, **cell.row}
        return bool(self.primary) and all(place[key] == value for key, value in self.primary.items())


@dataclass(frozen=True)
class Compared:
    """A cell beside the reference's."""

    cell: Cell
    difference: Difference
    reference: str
    note: str
    primary: bool

    @property
    def p_value(self) -> float:
        """The larger p of the two tests; NaN where one is missing."""
        test = self.difference.t_test
        return max(self.difference.p_value, test.p_value) if test is not None else np.nan

    @property
    def said(self) -> str:
        """Better or worse, by the sign of the difference."""
        higher = self.difference.mean > 0
        return BETTER if higher != (self.cell.row["metric"] in LOWER_IS_BETTER) else WORSE


def with_verdicts(
    cells: Sequence[Named], reference: str, confidence: float, primary: Mapping[str, str] | None = None
) -> list[dict[str, object]]:
    """Rows of the cells of one protocol and cohort, with COLUMNS: the difference to ``reference`` and the verdict.

    A method is compared with the reference on the same encoder, else on the reference's first. The verdict is
    ``better`` or ``worse`` where the larger p of both tests, adjusted, is below 1 - confidence; ``not distinguishable``
    elsewhere, at this number of patients or of resamples; ``no verdict`` where a test is missing (``verdict_note`` says
    why); empty where nothing can be compared (no reference, undefined metric, calibration distances).
    """
    families: dict[tuple[object, ...], list[int]] = {}
    for number, (_, cell) in enumerate(cells):
        family = tuple(cell.row[key] for key in ("setting", "task", "metric"))
        families.setdefault(family, []).append(number)
    if reference and not any(where["method"] == reference for where, _ in cells):
        logger.warning("evaluation.reference: %r is no method of this run; no verdicts", reference)
    rows: list[dict[str, object]] = [{**where, **cell.row, **NOTHING} for where, cell in cells]
    rule = Rule(reference, confidence, primary or {})
    for (_, _, metric), members in families.items():
        if metric not in DISTANCES:
            for number, found in zip(members, _family([cells[i] for i in members], rule), strict=True):
                rows[number] |= found
    return rows


def _family(cells: Sequence[Named], rule: Rule) -> list[dict[str, object]]:
    known = {where["encoder"]: cell for where, cell in cells if where["method"] == rule.reference}
    pairs = [_compare(where, cell, known, rule) for where, cell in cells]
    p_values = np.array([np.nan if one is None or one.primary else one.p_value for one in pairs])
    family, adjusted = int((~np.isnan(p_values)).sum()), holm(p_values)
    alike = TOO_FEW.format(family) if _hopeless(pairs, family, rule.confidence) else ALIKE
    rows = []
    for (where, _), one, p_holm in zip(cells, pairs, adjusted, strict=True):
        if one is None:
            itself = where["method"] == rule.reference and where["encoder"] in known
            rows.append({**NOTHING, "reference": rule.reference, "verdict": ITSELF} if itself else dict(NOTHING))
        elif one.primary:
            rows.append(_row(one, one.p_value, 1, ALIKE, rule))
        else:
            rows.append(_row(one, float(p_holm), family, alike, rule))
    return rows


def _row(one: Compared, p_holm: float, family: int, alike: str, rule: Rule) -> dict[str, object]:
    difference, level = one.difference, 1 - rule.confidence
    test = difference.t_test
    row = {
        **NOTHING,
        "reference": one.reference,
        "difference": difference.mean,
        "difference_low": difference.ci_low,
        "difference_high": difference.ci_high,
        "p_value": difference.p_value,
        "p_t_test": np.nan if test is None else test.p_value,
        "p_holm": p_holm,
        "verdict_note": one.note,
    }
    if np.isnan(difference.mean):
        return row
    row["comparison"] = PRIMARY if one.primary else EXPLORATORY
    if np.isnan(p_holm):
        return row | {"verdict": "" if np.isnan(difference.p_value) else NONE}
    if test is not None:
        sizes = (difference.bootstrap_error, difference.widened_by)
        row["detectable"] = detectable(test, *sizes, level)
        row["detectable_holm"] = detectable(test, *sizes, level / family)
    return row | {"verdict": one.said if p_holm < level else alike}


def _compare(where: Mapping[str, str], cell: Cell, known: Mapping[str, Cell], rule: Rule) -> Compared | None:
    """None for the reference itself, and where there is none."""
    if not known or (where["method"] == rule.reference and where["encoder"] in known):
        return None
    encoder = where["encoder"] if where["encoder"] in known else next(iter(known))
    one, other, said = _on_shared_patients(cell, known[encoder])
    result = paired_difference(one, other, rule.confidence)
    name = rule.reference if encoder in (where["encoder"], "none") else f"{rule.reference} ({encoder})"
    if result.folds == 1:
        said = [*said, "no t-test: one fold"]
    return Compared(cell, result, name, "; ".join(said), rule.is_primary(where, cell))


def _on_shared_patients(cell: Cell, other: Cell) -> tuple[Draws, Draws, list[str]]:
    """Both on the patients that both have in each fold, and what is to be said of it."""
    ours, theirs = cell.draws.patients, other.draws.patients
    shared = {k: ours[k] & theirs[k] for k in ours if k in theirs and ours[k] & theirs[k]}
    if ours == theirs or not shared:
        return cell.draws, other.draws, []
    count = sum(map(len, shared.values()))
    most = max(sum(map(len, side.values())) for side in (ours, theirs))
    said = [f"on the {count} of {most} patients that both have"] if count < most else []
    if all(ours[k] == theirs[k] for k in shared):
        return cell.draws, other.draws, said
    return cell.on(shared), other.on(shared), said


def _hopeless(pairs: Sequence[Compared | None], family: int, confidence: float) -> bool:
    """Whether the smallest p that the resamples allow, adjusted, is above the level; the log then says what helps."""
    known = [one for one in pairs if one is not None and not one.primary]
    resamples = max((len(draw) for one in known for draw in one.cell.draws.resampled.values()), default=0)
    hopeless = resamples > 0 and family * 2 / (1 + resamples) >= 1 - confidence
    if hopeless:
        logger.warning(
            "%d comparisons and %d resamples: no difference can be told apart; set evaluation.bootstrap to %d or more",
            family,
            resamples,
            int(2 * family / (1 - confidence) + 1e-9),
        )
    return hopeless
