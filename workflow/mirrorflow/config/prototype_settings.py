"""Settings of prototypes that are fitted on a fold's training patches: those of PANTHER and MMP."""

from dataclasses import dataclass
from typing import Literal

from mirrorflow.config.fields import Settings, choice, count


@dataclass(frozen=True)
class PrototypeSettings(Settings):
    """How prototypes are fitted, and how a slide is read by them."""

    components: int = count("components of the mixture.", 16, origin="published")
    prior: Literal["kmeans", "mixture"] = choice(
        "what is fitted on training patches: kmeans - means, variances 1 and equal weights beside them (published); "
        "mixture - means, variances and weights by expectation-maximisation from k-means.",
        ["kmeans", "mixture"],
        "kmeans",
        origin="published",
    )
    sample: int = count(
        "training patches that it is fitted on, as many of each patient (published code: 1,600,000).",
        100_000,
        origin="ours",
    )
    restarts: int = count("starts of k-means, of which the best is taken.", 3, origin="published")
    em_steps: int = count("steps of expectation-maximisation on each slide.", 1, origin="published")
