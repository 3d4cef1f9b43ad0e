"""Patients at the level of features, whose hazards are known: what an oracle could reach is known, too.

Blocks of independent standard normal factors: ``shared`` shows in slides and RNA, ``slide_only`` and ``rna_only`` in
one of them, ``null`` in both without any bearing on the outcome. The log hazard is a sum of the blocks' scores (of
variance 1), of the product of slide_only and rna_only (which no linear model sees), and of the site. Times and
censoring are exponential, scaled so that the study has exactly the events asked for.
"""

from dataclasses import dataclass

import numpy as np

from mirrorflow.config.fields import Settings, count, number, whole
from mirrorflow.errors import ConfigError

FACTORS = 4
"""Of a block."""
BLOCKS = ("shared", "slide_only", "rna_only", "null")
AT_ONCE = 500
"""Events compared with all patients at a time, for the sake of memory."""


@dataclass(frozen=True)
class World(Settings):
    """How many patients there are, what moves their hazard, what their features show of it."""

    PLACE = "world."

    patients: int = count("Patients of the study.", 4000)
    events: int = count("Events among them.", 1200)
    fresh: int = whole("Further patients of the same population, whom no method is trained on.", 2000)
    shared: float = number("Log hazard of a standard deviation of what slides and RNA share.", 0.6)
    slide_only: float = number("The same of what slides alone show.", 0.4)
    rna_only: float = number("The same of what RNA alone shows.", 0.4)
    interaction: float = number("The same of the product of the two.", 0.3)
    null: float = number("How strongly factors without bearing on the outcome show in the features.", 1.0, minimum=0)
    sites: int = count("Tissue source sites.", 20)
    site_effect: float = number("Standard deviation of the log hazard between sites.", 0.0, minimum=0)
    site_shift: float = number("Standard deviation between sites of each feature's mean.", 0.0, minimum=0)
    slide_dim: int = count("Slide features.", 32)
    rna_dim: int = count("Expression values.", 64)
    slide_noise: float = number("Standard deviation of a slide feature's noise.", 1.0, minimum=0)
    rna_noise: float = number("Standard deviation of an expression value's noise.", 1.0, minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.events > self.patients:
            message = f"world.events is {self.events}, of {self.patients} patients; ask for fewer events"
            raise ConfigError(message)


@dataclass(frozen=True)
class Study:
    """Patients with features, outcomes and their true log hazard; the fresh ones stand behind the study's."""

    slides: np.ndarray
    """[patient, feature]"""
    rna: np.ndarray
    """[patient, gene]"""
    time_days: np.ndarray
    event: np.ndarray
    site: np.ndarray
    log_hazard: np.ndarray
    patients: int
    """Of the study; rows behind are fresh."""

    @property
    def fresh(self) -> slice:
        """Rows of the fresh patients."""
        return slice(self.patients, len(self.event))

    def oracle(self) -> float:
        """C of the true log hazard, on all patients; 0.5 where nothing moves it."""
        return population_c(self.log_hazard, self.time_days, self.event)

    def true_c(self, risk: np.ndarray) -> float:
        """C of ``risk`` [patient] on the fresh patients."""
        return population_c(risk[self.fresh], self.time_days[self.fresh], self.event[self.fresh])


def simulate(world: World, rng: np.random.Generator) -> Study:
    """Draw a study and its fresh patients."""
    n = world.patients + world.fresh
    factors = {name: rng.standard_normal((n, FACTORS)) for name in BLOCKS}
    site = rng.integers(world.sites, size=n)
    hazard = _log_hazard(world, factors) + world.site_effect * rng.standard_normal(world.sites)[site]
    times, events = _outcomes(hazard, world, rng)
    shown = [factors["shared"], world.null * factors["null"]]
    slides = _features([*shown, factors["slide_only"]], world.slide_dim, world.slide_noise, rng)
    rna = _features([*shown, factors["rna_only"]], world.rna_dim, world.rna_noise, rng)
    if world.site_shift:
        slides += world.site_shift * rng.standard_normal((world.sites, world.slide_dim))[site]
        rna += world.site_shift * rng.standard_normal((world.sites, world.rna_dim))[site]
    return Study(slides, rna, times, events, site, hazard, world.patients)


def _log_hazard(world: World, factors: dict[str, np.ndarray]) -> np.ndarray:
    score = {name: block.sum(1) / np.sqrt(FACTORS) for name, block in factors.items()}
    linear = sum(getattr(world, name) * score[name] for name in ("shared", "slide_only", "rna_only"))
    return np.asarray(linear + world.interaction * score["slide_only"] * score["rna_only"])


def _features(blocks: list[np.ndarray], width: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Random directions of unit variance a feature for each block, plus noise."""
    loadings = [rng.standard_normal((FACTORS, width)) / np.sqrt(FACTORS) for _ in blocks]
    shown = sum(block @ loading for block, loading in zip(blocks, loadings, strict=True))
    return np.asarray(shown + noise * rng.standard_normal((len(blocks[0]), width)))


def _outcomes(hazard: np.ndarray, world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Days and events: exponential lives, exponential follow-up scaled to the number of events of the study."""
    lived, followed = rng.exponential(1000 * np.exp(-hazard)), rng.exponential(1000, len(hazard))
    ratios = np.sort((lived / followed)[: world.patients])
    scale = ratios[world.events - 1] * (1 + 1e-9)
    return np.minimum(lived, scale * followed), lived <= scale * followed


def population_c(risk: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> float:
    """Harrell's C of a whole population (times are continuous, without ties); tied risks count half."""
    concordant = pairs = 0.0
    events = np.flatnonzero(event)
    for start in range(0, len(events), AT_ONCE):
        first = events[start : start + AT_ONCE]
        later = time_days[first][:, None] < time_days[None, :]
        ahead = risk[first][:, None] - risk[None, :]
        concordant += np.count_nonzero(later & (ahead > 0)) + 0.5 * np.count_nonzero(later & (ahead == 0))
        pairs += np.count_nonzero(later)
    return concordant / pairs


def expected_c(deviation: float) -> float:
    """C of a normal log hazard with this standard deviation, without censoring, by quadrature.

    Under proportional hazards the riskier of two dies first with probability 1 / (1 + exp(-d)), d being the difference
    of their log hazards, which is normal with standard deviation sqrt(2) times theirs.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(201)
    gaps = np.abs(np.sqrt(2) * deviation * points)
    return float((weights / (1 + np.exp(-gaps))).sum() / weights.sum())
