"""Each method against one named beforehand, on the same resampled patients; a plain verdict a cell.

A family of tests, over which Holm adjusts, is what a reader compares at a glance: all methods (and encoders) of one
protocol, cohort, setting, task and metric.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from mirrorflow.evaluation.cells import Cell
from mirrorflow.metrics import DISTANCES, LOWER_IS_BETTER
from mirrorflow.metrics.inference import holm, paired_difference

logger = logging.getLogger("mirrorflow.evaluation")

BETTER, WORSE, ALIKE, ITSELF = "better", "worse", "not distinguishable", "reference"
TOO_FEW = ALIKE + ": too few resamples for {} comparisons"
"""Where not even a difference of one sign in every resample could pass."""
COLUMNS = ("reference", "difference", "difference_low", "difference_high", "p_value", "p_holm", "verdict")
NOTHING = {"reference": "", "verdict": "", **dict.fromkeys(COLUMNS[1:-1], np.nan)}

Named = tuple[Mapping[str, str], Cell]
"""A cell with what names it: protocol, cohort, encoder, method, predictions."""


def with_verdicts(cells: Sequence[Named], reference: str, confidence: float) -> list[dict[str, object]]:
    """Rows of the cells of one protocol and cohort, with COLUMNS: the difference to ``reference`` and the verdict.

    A method is compared with the reference on the same encoder, else on the reference's first. The verdict is
    ``better`` or ``worse`` where the adjusted p value is below 1 - confidence, else ``not distinguishable`` at this
    number of patients, or with as few resamples; empty where nothing can be compared (no reference, undefined metric,
    calibration distances).
    """
    families: dict[tuple[object, ...], list[int]] = {}
    for number, (_, cell) in enumerate(cells):
        family = tuple(cell.row[key] for key in ("setting", "task", "metric"))
        families.setdefault(family, []).append(number)
    if reference and not any(where["method"] == reference for where, _ in cells):
        logger.warning("evaluation.reference: %r is no method of this run; no verdicts", reference)
    rows: list[dict[str, object]] = [{**where, **cell.row, **NOTHING} for where, cell in cells]
    for (_, _, metric), members in families.items():
        if metric not in DISTANCES:
            for number, found in zip(members, _family([cells[i] for i in members], reference, confidence), strict=True):
                rows[number] |= found
    return rows


def _family(cells: Sequence[Named], reference: str, confidence: float) -> list[dict[str, object]]:
    known = {where["encoder"]: cell for where, cell in cells if where["method"] == reference}
    found = [_compare(where, cell, known, reference, confidence) for where, cell in cells]
    p_values = np.array([one["p_value"] for one in found], dtype=float)
    family = int((~np.isnan(p_values)).sum())
    alike = TOO_FEW.format(family) if _hopeless(cells, family, confidence) else ALIKE
    for one, adjusted in zip(found, holm(p_values), strict=True):
        if not np.isnan(adjusted):
            one |= {"p_holm": float(adjusted), "verdict": alike}
            if adjusted < 1 - confidence:
                one["verdict"] = BETTER if one["better"] else WORSE
        one.pop("better", None)
    return found


def _compare(
    where: Mapping[str, str], cell: Cell, known: Mapping[str, Cell], reference: str, confidence: float
) -> dict[str, object]:
    if where["method"] == reference and where["encoder"] in known:
        return {**NOTHING, "reference": reference, "verdict": ITSELF}
    if not known:
        return dict(NOTHING)
    encoder = where["encoder"] if where["encoder"] in known else next(iter(known))
    result = paired_difference(cell.draws, known[encoder].draws, confidence)
    name = reference if encoder in (where["encoder"], "none") else f"{reference} ({encoder})"
    return {
        **NOTHING,
        "reference": name,
        "difference": result.mean,
        "difference_low": result.ci_low,
        "difference_high": result.ci_high,
        "p_value": result.p_value,
        "better": (result.mean > 0) != (cell.row["metric"] in LOWER_IS_BETTER),
    }


def _hopeless(cells: Sequence[Named], family: int, confidence: float) -> bool:
    """Whether the smallest p that the resamples allow, adjusted, is above the level; the log then says what helps."""
    resamples = max((len(draw) for _, cell in cells for draw in cell.draws.resampled.values()), default=0)
    hopeless = resamples > 0 and family * 2 / (1 + resamples) >= 1 - confidence
    if hopeless:
        logger.warning(
            "%d comparisons and %d resamples: no difference can be told apart; set evaluation.bootstrap to %d or more",
            family,
            resamples,
            int(2 * family / (1 - confidence) + 1e-9),
        )
    return hopeless
