"""Metrics of one fold's predictions, for one weighting of its units or for many at once.

``weights`` [resample, unit] counts how often a unit is in a resample; a row of ones is the fold itself, so
that the bootstrap is a matrix product. An undefined metric is NaN, and a reason says why. The forms are ours
because no library scores a thousand weightings at once; each is held against scikit-learn, scikit-survival
or lifelines in tests/reference.
"""

from mirrorflow.config.metric_names import DISTANCES, LOWER_IS_BETTER, SUBTYPING_METRICS, SURVIVAL_METRICS
from mirrorflow.metrics.calibration import d_calibration, expected_calibration_error, undo_smoothing
from mirrorflow.metrics.follow_up import FollowUp, follow_up, survival_at
from mirrorflow.metrics.subtyping import accuracy, auroc, balanced_accuracy, confusion, f1_macro, subtyping_metrics
from mirrorflow.metrics.survival import (
    brier_scores,
    c_index,
    comparable_pairs,
    curve_metrics,
    integrated_brier,
    mean_brier,
    mean_time_auc,
    survival_metrics,
    uno_c,
)

NEEDS_FOLLOW_UP = frozenset({"uno_c", "mean_t_auc", "ibs", "mean_brier"})
"""Metrics weighted by the training patients' censoring; unstable with few evaluation events."""
NEEDS_CURVES = frozenset({"ibs", "mean_brier", "d_calibration"})
"""Metrics of survival functions, which not every method has."""
FEW_EVENTS = 10
"""Below this many evaluation events such a metric is flagged unstable."""

__all__ = [
    "DISTANCES",
    "FEW_EVENTS",
    "LOWER_IS_BETTER",
    "NEEDS_CURVES",
    "NEEDS_FOLLOW_UP",
    "SUBTYPING_METRICS",
    "SURVIVAL_METRICS",
    "FollowUp",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "brier_scores",
    "c_index",
    "comparable_pairs",
    "confusion",
    "curve_metrics",
    "d_calibration",
    "expected_calibration_error",
    "f1_macro",
    "follow_up",
    "integrated_brier",
    "mean_brier",
    "mean_time_auc",
    "subtyping_metrics",
    "survival_at",
    "survival_metrics",
    "undefined_reason",
    "undo_smoothing",
    "uno_c",
]


def undefined_reason(
    metric: str, n_units: int, classes_present: int, events: int, follow_up_reason: str = "", no_curves: str = ""
) -> str:
    """Why ``metric`` is NaN on a fold. ``no_curves``: why no survival function can be scored, if so."""
    if n_units == 0:
        return "no evaluation unit"
    if metric in NEEDS_CURVES and no_curves:
        return no_curves
    if metric in NEEDS_FOLLOW_UP and follow_up_reason:
        return follow_up_reason
    if metric in ("c_index", "c_index_pairs", "uno_c"):
        return f"no comparable pair ({events} events)"
    if metric == "mean_t_auc":
        return f"no time with both events before and patients alive after it ({events} events)"
    return f"only {classes_present} class among the evaluation units"
