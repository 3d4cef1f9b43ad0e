"""What a classical method has learned: the contract of its models, and scikit-learn's parts as arrays and back."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from mirrorflow.probes.task import Asked, Prediction

Arrays = dict[str, np.ndarray]

TRANSPOSED = "_transposed"
"""What the name of a matrix ends with that is stored the other way round."""


class FittedModel(Protocol):
    """What ``fit`` of a classical method returns."""

    def predict(self, vectors: np.ndarray, asked: Asked) -> Prediction:
        """What is asked about the units of vectors [unit, feature]."""

    def arrays(self) -> Arrays:
        """All that predicting takes, by dotted names."""


def matrix_arrays(name: str, matrix: np.ndarray) -> Arrays:
    """A matrix under its name, or its transpose under ``<name>_transposed`` where it lies in memory column by column.

    Files keep rows. A product of matrices may round its last digit differently in the other order, so the order
    comes back with the values.
    """
    by_rows = matrix.flags.c_contiguous or matrix.strides[-1] == matrix.itemsize
    stored = matrix if by_rows else matrix.T
    return {name if by_rows else name + TRANSPOSED: np.ascontiguousarray(stored)}


def matrix_of(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The inverse of :func:`matrix_arrays`. Raises KeyError where there is none of that name."""
    return arrays[name] if name in arrays else arrays[name + TRANSPOSED].T


def scaler_arrays(scaler: StandardScaler) -> Arrays:
    """Mean and deviation [feature]."""
    return {"scaler.mean": scaler.mean_, "scaler.scale": scaler.scale_}


def scaler_of(arrays: Mapping[str, np.ndarray]) -> StandardScaler:
    """The inverse of :func:`scaler_arrays`."""
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = arrays["scaler.mean"], arrays["scaler.scale"]
    scaler.n_features_in_ = len(scaler.mean_)
    return scaler


def pca_arrays(pca: PCA) -> Arrays:
    """Components [component, feature] and the mean [feature] that is taken off before."""
    return {"pca.mean": pca.mean_, **matrix_arrays("pca.components", pca.components_)}


def pca_of(arrays: Mapping[str, np.ndarray]) -> PCA:
    """The inverse of :func:`pca_arrays`."""
    components = matrix_of(arrays, "pca.components")
    pca = PCA(len(components))
    pca.components_, pca.mean_ = components, arrays["pca.mean"]
    pca.n_components_, pca.n_features_in_ = components.shape
    return pca
