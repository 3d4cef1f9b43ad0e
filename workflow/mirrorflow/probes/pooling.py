"""A bag of patch features as one vector."""

import numpy as np


def pool(bag: np.ndarray, pooling: str) -> np.ndarray:
    """Mean [feature], or mean and standard deviation [2 * feature], over the patches of a bag [patch, feature]."""
    mean = bag.mean(0, dtype=np.float64)
    if pooling == "mean":
        return mean.astype(np.float32)
    return np.concatenate([mean, bag.std(0, dtype=np.float64)]).astype(np.float32)
