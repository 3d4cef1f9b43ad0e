"""Whether a new patient's expression is on the scale that a model learned, patient by patient.

Two things are held against the training patients' mean and deviation of each gene. Distance: how far the genes stand
from their means, in deviations (the median). Agreement: whether they rise and fall with these means, by the weighted
least squares line of values on means. A logarithm of another base and z-scores have another slope, and values that are
no logarithms leave the line. Agreement is judged only where the means of many genes differ by more than their
deviations, and are those of logarithms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError

DISTANCES = ((500, 2.0), (20, 3.0), (0, 10.0))
"""Genes that are known, and the distance beyond which a patient is on another scale. TCGA's held-out patients stand at
1.13 or below by every model of three cohorts (218 to 1,019 genes); medians of few genes, or of genes that rise and fall
together, have longer tails."""
SHEET = 3.0
"""Distance of the means over patients beyond which a sheet of :data:`SEVERAL` patients or more is on another scale."""
SEVERAL = 5
GENES, SIGNAL, LOGARITHMS = 100, 1.0, 40.0
"""Agreement is judged from so many genes, where the variance of means is as large as that within genes, and no mean is
larger than a logarithm is."""
SLOPES, LEAST_SHARE = (0.5, 2.0), 0.6
"""What slopes may be (log2(x + 1) for log2(x + 0.001) has 0.3, log10 too, z-scores 0; patients alike 0.7 to 1.2), and
the share of the correlation to be expected that is enough (patients alike 0.7 and above)."""


@dataclass(frozen=True)
class Scale:
    """How far units stand from training: all [unit].

    distance: of the median gene, in training deviations. slope: of values on training means; share: their correlation,
    as a share of that to be expected; both NaN where agreement is not judged. genes: how many are known.
    """

    distance: NDArray[np.float64]
    slope: NDArray[np.float64]
    share: NDArray[np.float64]
    genes: NDArray[np.int64]

    def faults(self) -> dict[int, str]:
        """Row -> what shows that its values are on another scale."""
        return {row: said for row in range(len(self.distance)) if (said := self._fault(row))}

    def _fault(self, row: int) -> str:
        most = next(bound for least, bound in DISTANCES if self.genes[row] >= least)
        if self.distance[row] > most:
            return (
                f"genes are {self.distance[row]:.1f} training deviations from their training mean (median; patients "
                f"alike stand below {most:g})"
            )
        if self.slope[row] < SLOPES[0] or self.slope[row] > SLOPES[1]:
            return (
                f"genes rise by {self.slope[row]:.2f} where their training means rise by 1 (patients alike by "
                f"{SLOPES[0]:g} to {SLOPES[1]:g})"
            )
        return "genes do not rise and fall with their training means" if self.share[row] < LEAST_SHARE else ""


def judged(values: NDArray, scaler: Mapping[str, NDArray]) -> Scale | None:
    """How ``values`` [unit, gene] compare with training; None without a scaler or units.

    Raises InputError where all units are on another scale, or the means of several of the others are.
    """
    if not scaler or not len(values):
        return None
    found = scale_of(values, scaler)
    faults = found.faults()
    why = next(iter(faults.values())) if len(faults) == len(values) else ""
    others = values[[row not in faults for row in range(len(values))]]
    middle = _of_means(others, scaler) if len(others) >= SEVERAL else 0.0
    if not why and middle > SHEET:
        why = f"means of genes are {middle:.1f} training deviations from their training mean (median)"
    if why:
        message = (
            f"the expression sheet is on another scale than the training matrix: {why}. Its values go from "
            f"{np.nanmin(values):.3g} to {np.nanmax(values):.3g}; bring it to the units of the training matrix"
        )
        raise InputError(message)
    return found


def _of_means(values: NDArray, scaler: Mapping[str, NDArray]) -> float:
    known = _compared(values, scaler)
    count = known.sum(0)
    mean = np.where(known, values, 0).sum(0) / np.maximum(count, 1)
    distance = np.abs(mean - scaler["mean"]) / scaler["scale"]
    return float(np.median(distance[count > 0])) if (count > 0).any() else 0.0


def _compared(values: NDArray, scaler: Mapping[str, NDArray]) -> NDArray[np.bool_]:
    """Which of ``values`` [unit, gene] say something: known, of a gene that a training patient had a value of."""
    return ~np.isnan(values) & np.isfinite(scaler["scale"])


def scale_of(values: NDArray, scaler: Mapping[str, NDArray]) -> Scale:
    """How ``values`` [unit, gene], unscaled and NaN where unknown, compare with ``mean`` and ``scale`` of a scaler."""
    mean, scale = (np.asarray(scaler[key], np.float64) for key in ("mean", "scale"))
    known = _compared(values, scaler)
    distance = np.abs(values - mean) / scale
    medians = [np.median(row[there]) if there.any() else 0.0 for row, there in zip(distance, known, strict=True)]
    lines = [_line(row[there], mean[there], scale[there]) for row, there in zip(values, known, strict=True)]
    slope, share = np.array(lines, np.float64).reshape(-1, 2).T
    return Scale(np.array(medians, np.float64), slope, share, known.sum(1))


def _line(values: NDArray, mean: NDArray, scale: NDArray) -> tuple[float, float]:
    """Slope of values on means, and their correlation as a share of that to be expected; NaN where not judged.

    A gene counts by its precision, none more than one of median deviation: a gene that is almost constant would else
    decide alone.
    """
    if len(values) < GENES or np.abs(mean).max() > LOGARITHMS:
        return np.nan, np.nan
    weight = 1 / np.square(np.maximum(scale, np.median(scale)))
    weight /= weight.sum()
    centred, rest = mean - weight @ mean, values - weight @ values
    between, within = weight @ np.square(centred), weight @ np.square(scale)
    if between < SIGNAL * within:
        return np.nan, np.nan
    slope = (weight * centred) @ rest / between
    spread = np.sqrt(between * (weight @ np.square(rest)))
    correlation = slope * between / spread if spread > 0 else 0.0
    return slope, correlation / np.sqrt(between / (between + within))
