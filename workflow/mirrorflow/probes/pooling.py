"""A bag of patch features as one vector."""

import numpy as np


def pool(bag: np.ndarray, pooling: str) -> np.ndarray:
    """Mean [feature], or mean and standard deviation [2 * feature], over the patches of a bag [patch, feature].

    The deviation is the sample's (ddof 1); that of a single patch is 0.
    """
    mean = bag.mean(0, dtype=np.float64)
    if pooling == "mean":
        return mean.astype(np.float32)
    deviation = bag.std(0, ddof=1, dtype=np.float64) if len(bag) > 1 else np.zeros_like(mean)
    return np.concatenate([mean, deviation]).astype(np.float32)
