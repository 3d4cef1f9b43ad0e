"""What an expression matrix holds, told from its values: counts, logarithms, z-scores. Told, never acted upon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mirrorflow.expression.identifiers import ENSEMBL_VERSION, without_version
from mirrorflow.expression.scaling import looks_standardised

COUNTS, LINEAR, PER_MILLION = "raw counts", "linear values", "parts per million (TPM)"
LOG_PLUS_1, LOG_FLOOR, Z_SCORES, UNCLEAR = "log2(x + 1)", "log2(x + 0.001)", "z-scores", "of no kind that is known"
FLOOR = float(np.log2(0.001))
LARGEST_LOG = 40.0
"""No logarithm of a measured value is above."""
MOSTLY = 0.5
GENES_AT_ONCE = 256
SAMPLES_LOOKED_AT = 1000
"""For mean and deviation of each gene: enough to tell z-scores."""
TRANSFORMS: Mapping[str, str] = {COUNTS: "log2_cpm", LINEAR: "log2_plus_1", PER_MILLION: "log2_plus_1"}
"""Kind -> the value of ``transform`` that makes logarithms of it."""


@dataclass
class ValueLook:
    """What was seen of a matrix so far, a part at a time; memory is a number a sample."""

    values: int = 0
    missing: int = 0
    whole: bool = True
    """Whether every known value is a whole number."""
    least: float = np.inf
    most: float = -np.inf
    genes: int = 0
    standardised: int = 0
    totals: NDArray[np.float64] | None = None
    ensembl: int = 0
    versions: int = 0
    examples: list[str] = field(default_factory=list)

    def read(self, ids: Sequence[str], part: NDArray[np.float32]) -> None:
        """Add ``part`` [gene, sample] of the genes ``ids``."""
        self._read_ids(ids)
        self.genes += len(ids)
        for start in range(0, len(part), GENES_AT_ONCE):
            self._read_values(part[start : start + GENES_AT_ONCE])

    def _read_values(self, part: NDArray[np.float32]) -> None:
        known = ~np.isnan(part)
        count = int(known.sum())
        self.values += part.size
        self.missing += part.size - count
        if not count:
            return
        filled = part if count == part.size else np.where(known, part, 0)
        least, most = (part.min(), part.max()) if count == part.size else (np.nanmin(part), np.nanmax(part))
        self.least, self.most = min(self.least, float(least)), max(self.most, float(most))
        self.whole = self.whole and bool((filled == np.rint(filled)).all())
        self.standardised += int(looks_standardised(part[:, :SAMPLES_LOOKED_AT]).sum())
        sums = filled.sum(axis=0, dtype=np.float64)
        self.totals = sums if self.totals is None else self.totals + sums

    def _read_ids(self, ids: Sequence[str]) -> None:
        stems = [name for name in ids if name.startswith("ENS") and without_version(name)[-11:].isdigit()]
        self.ensembl += len(stems)
        self.versions += sum(ENSEMBL_VERSION.match(name) is not None for name in stems)
        self.examples += stems[: 3 - len(self.examples)]

    @property
    def kind(self) -> str:
        """One of this module's words."""
        known = self.values - self.missing
        if not known:
            return UNCLEAR
        if self.standardised > MOSTLY * self.genes and self.least < 0:
            return Z_SCORES
        if self.least < 0:
            return LOG_FLOOR if abs(self.least - FLOOR) < 0.05 and self.most < LARGEST_LOG else UNCLEAR
        if self.whole and self.most > LARGEST_LOG:
            return COUNTS
        if self.most > LARGEST_LOG:
            totals = self.totals if self.totals is not None else np.zeros(1)
            return PER_MILLION if np.median(np.abs(totals / 1e6 - 1)) < 0.05 else LINEAR
        return UNCLEAR if self.whole else LOG_PLUS_1

    def line(self, source: str, transform: str) -> str:
        """What the values look like, with what to set; begins with WARNING where a run should not take them so, with
        PROBLEM where it refuses them.

        source: name of the matrix in the config; transform: what its entry says.
        """
        seen = f"values of {self.genes} genes from {self.least:g} to {self.most:g}, {self.missing} missing"
        offered = TRANSFORMS.get(self.kind)
        key = f"expression.sources.{source}.transform"
        if transform != "none" and self.least < 0:
            return (
                f"PROBLEM: {seen}: they look like {self.kind}, and {key}: {transform} takes values from 0 on; leave it "
                "out for a matrix of logarithms or z-scores"
            )
        if transform != "none":
            fits = offered == transform
            word = "" if fits else "WARNING: "
            beside = (
                "" if fits else f", which is made for {' or '.join(k for k, v in TRANSFORMS.items() if v == transform)}"
            )
            return f"{word}{seen}: they look like {self.kind}; {key} is {transform}{beside}"
        if offered:
            return (
                f"WARNING: {seen}: they look like {self.kind}, models expect logarithms; set {key}: {offered}, or "
                "leave it where they are meant so"
            )
        if self.kind == Z_SCORES:
            return f"{seen}: they look like {self.kind}; set expression.sources.{source}.scaled_upstream: true if so"
        return f"{seen}: they look like {self.kind}" if self.kind != UNCLEAR else f"{seen}: {self.kind}"
