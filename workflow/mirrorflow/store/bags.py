"""Bags of patch features read from the store's h5 files, with a cache under a limit."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.store.features import read_features

FINGERPRINT_BYTES = 65_536


class FeatureBags:
    """Units by number: ``bags[i]`` is all patches of unit i, float32 [patch, feature].

    ``files`` lists each unit's feature files (a patient's slides are concatenated); up to ``cache_gb``
    (10^9 bytes) of bags are kept in memory, the rest is read again each time. ``names`` are for messages.
    """

    def __init__(self, files: Sequence[Sequence[Path]], cache_gb: float, names: Sequence[str] | None = None) -> None:
        self.files = [list(paths) for paths in files]
        self.names = list(names) if names is not None else [f"unit {i}" for i in range(len(self.files))]
        self.left = int(cache_gb * 1e9)
        self._cache: dict[int, np.ndarray] = {}
        self._width: tuple[int, Path] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int, /) -> np.ndarray:
        """Raises InputError naming the unit or file: no patches, NaN in features, a width unlike the other slides'."""
        if i in self._cache:
            return self._cache[i]
        if not self.files[i]:
            message = f"{self.names[i]}: no slide with features; leave this unit out of the cohort"
            raise InputError(message)
        bag = np.concatenate([self._read(path) for path in self.files[i]])
        if not len(bag):
            message = f"{self.names[i]}: no patches in {self.files[i][0]}; leave this unit out of the cohort"
            raise InputError(message)
        if bag.nbytes <= self.left:
            self.left -= bag.nbytes
            self._cache[i] = bag
        return bag

    def _read(self, path: Path) -> np.ndarray:
        features = read_features(path)[0]
        width = self._width or (features.shape[1], path)
        if features.shape[1] != width[0]:
            message = (
                f"{path}: features are {features.shape[1]} wide, those of {width[1]} are {width[0]}; "
                "one run takes the features of one encoder"
            )
            raise InputError(message)
        self._width = width
        return features


def features_fingerprint(paths: Sequence[Path]) -> str:
    """A digest of many feature files from their sizes, first and last 64 KiB: seconds, not hours.

    It follows content: copying or touching a file does not change it, extracting other features does.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                head = stream.read(FINGERPRINT_BYTES)
                stream.seek(max(0, size - FINGERPRINT_BYTES))
                tail = stream.read(FINGERPRINT_BYTES)
        except FileNotFoundError:
            message = f"{path}: not there; the index of the features names it: run extract_features"
            raise InputError(message) from None
        total.update(f"{size}:".encode() + head + tail)
    return total.hexdigest()[:16]
