"""The planted truth: three factors a patient, and the subtype, risk and site that follow from them.

The factors are independent standard normals before the subtypes are drawn apart:
``shared`` shows in slides and RNA, ``slide_only`` in slides, ``rna_only`` in RNA.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.demo.settings import generator

FACTORS = ("shared", "slide_only", "rna_only")

SUBTYPE_MARGIN = 0.65
"""How far each patient is moved into the own subtype's direction, in standard deviations."""

HAZARD_WEIGHTS = {"shared": 0.42, "slide_only": 0.42, "rna_only": 0.42}
"""Log hazard ratio of one standard deviation of each factor."""

BASELINE_HAZARD_PER_DAY = 1 / 2000
CENSORING_TIME_DAYS = (100.0, 2200.0)
"""End of follow-up, uniform in this range: about 55% of the patients are censored."""

SITE_PREFERENCE = 0.15
"""Share of patients whose site is one their subtype prefers; the others come from any site."""


def draw_patients(settings: Mapping[str, Any]) -> pd.DataFrame:
    """One row a patient of the cohort: barcode, site, factors, subtype, outcome.

    The last ``rna_only_patients(settings)`` rows are patients without slides. Columns: patient, site,
    shared, slide_only, rna_only, subtype, log_hazard, time_days, event, has_slides.
    """
    patients = settings["patients"]
    count = patients + rna_only_patients(patients)
    rng = generator(settings["seed"], "patients")
    factors = rng.standard_normal((count, len(FACTORS)))
    factors, subtype = separate_subtypes(factors, class_shares(len(settings["classes"])))
    site = _draw_sites(subtype, settings["site_count"], rng)
    frame = pd.DataFrame(factors, columns=list(FACTORS))
    frame["subtype"] = np.asarray(settings["classes"], dtype=object)[subtype]
    frame["log_hazard"] = sum(weight * frame[name] for name, weight in HAZARD_WEIGHTS.items())
    frame["time_days"], frame["event"] = draw_outcomes(frame["log_hazard"].to_numpy(), rng)
    frame.insert(0, "site", [site_code(index) for index in site])
    barcodes = [f"{settings['prefix']}-{code}-{1000 + row:04d}" for row, code in enumerate(frame["site"])]
    frame.insert(0, "patient", barcodes)
    frame["has_slides"] = np.arange(count) < patients
    return frame


def rna_only_patients(patients: int) -> int:
    """How many further patients have RNA and no slide: about 4 of 90."""
    return max(2, round(patients / 22))


def class_shares(classes: int) -> NDArray[np.float64]:
    """Target share of each subtype: 0.40, 0.35, 0.25 for three, falling in the same way for others."""
    if classes == 3:
        return np.array([0.40, 0.35, 0.25])
    falling = np.linspace(1.5, 1.0, classes)
    return falling / falling.sum()


def class_directions(classes: int) -> NDArray[np.float64]:
    """Unit directions [class, factor] of the subtypes in the space of the three factors.

    Evenly around a circle in the plane of the shared factor and (slide_only + rna_only) / sqrt(2): what
    the slides know and what RNA knows are each a part of it.
    """
    angle = np.pi / 2 + 2 * np.pi * np.arange(classes) / classes
    own = np.sin(angle) / np.sqrt(2)
    return np.stack([np.cos(angle), own, own], axis=1)


def separate_subtypes(
    factors: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Give each patient the subtype whose direction fits best, and move the patient towards it.

    Returns the moved factors [patient, factor] and the subtype's index [patient]. Offsets are found so
    that the subtypes have the wanted ``shares`` within a patient or two.
    """
    directions = class_directions(len(shares))
    scores = factors @ directions.T
    offsets = np.zeros(len(shares))
    best, best_error = offsets, np.inf
    for step in range(400):
        subtype = (scores + offsets).argmax(axis=1)
        excess = np.bincount(subtype, minlength=len(shares)) / len(factors) - shares
        if np.abs(excess).sum() < best_error:
            best, best_error = offsets, np.abs(excess).sum()
        offsets = offsets - excess / (1 + step / 40)
    subtype = (scores + best).argmax(axis=1)
    return factors + SUBTYPE_MARGIN * directions[subtype], subtype


def draw_outcomes(
    log_hazard: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exponential survival times with proportional hazards, censored at the end of follow-up.

    Returns times in days (whole, at least 1) and events (1 = died).
    """
    centred = log_hazard - log_hazard.mean()
    death = rng.exponential(1 / (BASELINE_HAZARD_PER_DAY * np.exp(centred)))
    follow_up = rng.uniform(*CENSORING_TIME_DAYS, len(death))
    time = np.maximum(1, np.minimum(death, follow_up)).astype(np.int64)
    return time, (death <= follow_up).astype(np.int64)


def site_code(index: int) -> str:
    """TCGA's two characters of a tissue source site: A1, B2, ..., Z9, A0, ..."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return f"{letters[index % 26]}{(index + index // 26 + 1) % 10}"


def _draw_sites(subtype: NDArray[np.intp], sites: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Sites of unequal size, weakly tied to the subtype."""
    weights = np.linspace(1.6, 0.6, sites)
    anywhere = rng.choice(sites, size=len(subtype), p=weights / weights.sum())
    preferred = (subtype * sites // (subtype.max() + 1) + rng.integers(0, 2, len(subtype))) % sites
    return np.where(rng.random(len(subtype)) < SITE_PREFERENCE, preferred, anywhere)
