"""The metrics that tables have, by name; free of every library."""

SUBTYPING_METRICS = ("accuracy", "f1_macro", "balanced_accuracy", "auroc", "ece")
SURVIVAL_METRICS = ("c_index", "c_index_pairs", "uno_c", "mean_t_auc", "ibs", "mean_brier", "d_calibration")
LOWER_IS_BETTER = frozenset({"ece", "ece_unsmoothed", "ibs", "mean_brier", "d_calibration"})
"""All other metrics are better when higher."""
DISTANCES = frozenset({"ece", "ece_unsmoothed", "d_calibration"})
"""Distances from a perfect value: a resample adds noise of its own, so that a percentile interval lies beyond the
printed value; they get no interval and no verdict."""


def task_of(metric: str) -> str:
    """The task that a metric scores; "" for a name that is none."""
    if metric in SUBTYPING_METRICS:
        return "subtyping"
    return "survival" if metric in SURVIVAL_METRICS else ""
