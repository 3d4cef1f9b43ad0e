"""The ramp of transported mass that TTA (Eq. 9) and OTSurv share."""

import math

STEEPNESS = 5.0
"""As printed and as in the public code of both."""


def ramp(share: float) -> float:
    """e^(-5 (1 - share)^2): from e^-5 to 1 as ``share`` of the ramp, cut to 0..1, is done."""
    return math.exp(-STEEPNESS * (1.0 - min(max(share, 0.0), 1.0)) ** 2)
