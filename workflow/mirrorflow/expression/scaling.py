"""Clipping, imputation and standardisation of expression, fitted on training patients only."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import ConfigError, InputError

Values = NDArray[np.float32]

BLOCK = 4096


@dataclass(frozen=True)
class RnaScaler:
    """What the training patients said about each gene; stored with the model that was trained on it.

    mean, scale [gene] float32; clip: values beyond +-clip are cut first, None for no cut.
    A gene without spread has scale 1; a missing value becomes the training mean of the clipped values. A gene that no
    training patient has a value of has scale infinity: it is 0 for all, since nothing says what a value of it means.
    Under ``none`` (the published way) mean is 0 and scale 1, so that NaN becomes 0, which in
    log2(FPKM + 0.001) is about 1 FPKM.
    """

    mean: Values
    scale: Values
    clip: float | None

    @classmethod
    def fit(cls, train_values: NDArray, *, scaling: str, clip: float | None = None) -> "RnaScaler":
        """Learn from ``train_values`` [patient, gene]; ``scaling`` is "train" or "none".

        Raises ConfigError for another scaling or a clip that is not positive, InputError without patients.
        """
        if scaling not in ("train", "none"):
            message = f"rna_scaling: {scaling!r} is neither 'train' nor 'none'"
            raise ConfigError(message)
        if clip is not None and clip <= 0:
            message = f"clip: {clip!r} must be positive (values beyond +-clip are cut), or null for no cut"
            raise ConfigError(message)
        n_genes = train_values.shape[1]
        mean, scale = np.zeros(n_genes, np.float32), np.ones(n_genes, np.float32)
        if scaling == "train":
            if len(train_values) == 0:
                message = "no training patient with expression: nothing to fit the scaling on"
                raise InputError(message)
            for start in range(0, n_genes, BLOCK):
                part = slice(start, start + BLOCK)
                mean[part], scale[part] = _moments(_clipped(train_values[:, part], clip))
        return cls(mean, scale, clip)

    @property
    def unmeasured(self) -> int:
        """Genes that no training patient had a value of."""
        return int(np.isinf(self.scale).sum())

    def said(self, where: str) -> str:
        """What is worth telling of these genes, empty where there are none; where: whose genes these are."""
        told = f"{where}: {self.unmeasured} of {len(self.scale)} genes have no value in any training patient"
        return f"{told}: they are 0 for all" if self.unmeasured else ""

    def transform(self, values: NDArray) -> Values:
        """Scaled copy [patient, gene] float32 without NaN. Raises InputError for another number of genes."""
        if values.shape[1] != len(self.mean):
            message = f"{values.shape[1]} genes, but the scaling was fitted on {len(self.mean)}"
            raise InputError(message)
        scaled = np.array(_clipped(values, self.clip), dtype=np.float32)
        scaled -= self.mean
        scaled /= self.scale
        scaled[np.isnan(scaled)] = 0.0
        return scaled

    def to_arrays(self) -> dict[str, NDArray]:
        """Arrays for storage beside the model's weights (a clip of infinity stands for none)."""
        clip = np.inf if self.clip is None else self.clip
        return {"mean": self.mean, "scale": self.scale, "clip": np.array([clip], dtype=np.float64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "RnaScaler":
        """The inverse of :meth:`to_arrays`."""
        clip = float(np.asarray(arrays["clip"]).reshape(-1)[0])
        mean, scale = (np.asarray(arrays[key], dtype=np.float32) for key in ("mean", "scale"))
        return cls(mean, scale, None if np.isinf(clip) else clip)


def looks_standardised(values: NDArray) -> NDArray[np.bool_]:
    """Which genes of ``values`` [gene, patient] look like z-scores: mean within 0.25 of 0, deviation 0.5 to 2.

    Most genes of a matrix that was standardised over a whole cohort do, also where some patients were left out
    since; of log2(FPKM + 0.001) or of counts few do.
    """
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.sum(values, axis=1, where=known, dtype=np.float64) / count
    spread = np.square(values.astype(np.float64) - mean[:, None])
    deviation = np.sqrt(np.sum(spread, axis=1, where=known) / count)
    return (np.abs(mean) < 0.25) & (deviation > 0.5) & (deviation < 2)


def _clipped(values: NDArray, clip: float | None) -> NDArray:
    return values if clip is None else np.clip(values, -clip, clip)


def _moments(values: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation (ddof 0) of the known values of each gene, in float64; infinite without any."""
    known = ~np.isnan(values)
    there = known.sum(axis=0)
    count = np.maximum(there, 1)
    mean = np.sum(values, axis=0, where=known, dtype=np.float64) / count
    spread = np.square(values.astype(np.float64) - mean)
    deviation = np.sqrt(np.sum(spread, axis=0, where=known) / count)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1.0)
    return mean, np.where(there > 0, scale, np.inf)
