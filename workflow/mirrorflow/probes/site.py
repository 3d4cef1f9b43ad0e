"""The patient's site alone: the training patients' event rate, or class shares, of that site.

How well it does is what folds that mix sites pay for telling hospitals apart (Howard et al. 2021, "The impact of
site-specific digital histology signatures on deep learning model accuracy and bias"). Small sites are drawn towards
the overall rate: events per person-time under a gamma prior (Clayton & Kaldor 1987, "Empirical Bayes estimates of
age-standardized relative risks"), class shares under a Dirichlet prior (the m-estimate, Cestnik 1990). A site that no
training patient has stands at the overall rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirrorflow.config.fields import Settings, choice, positive
from mirrorflow.errors import InputError
from mirrorflow.probes.majority import KaplanMeier, class_shares, kaplan_meier
from mirrorflow.probes.site_rates import relative_rates
from mirrorflow.probes.task import Asked, SubtypePrediction, SurvivalPrediction, Targets


@dataclass(frozen=True)
class SiteSettings(Settings):
    """How far small sites are drawn to the overall rate, and where the method is run."""

    pseudo_patients: float = positive(
        "training patients that the overall rate counts as beside those of a site: with so many of its own a site's "
        "rate stands half-way.",
        10.0,
        origin="ours: the size of a middling site of TCGA; form: Clayton & Kaldor 1987, Cestnik 1990",
    )
    under: str = choice(
        "protocols that it is run under: all, or those whose folds may have a site on both sides (any splits but "
        "site_preserved), as where a run has it without naming it; where sites are kept apart, all patients get the "
        "overall rate.",
        ["all", "mixing"],
        "all",
        origin="ours",
    )


def fit(train: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]) -> "SiteShares | SiteRates":
    """Rates of the sites; ``train`` [unit, site] is 1 at the unit's site and 0 for a unit without one.

    Units of one patient count once. Raises InputError where training patients are of no site, or of one.
    """
    first = _one_a_patient(targets)
    sites, among = train[first], _part(targets, first)
    check_sites(sites)
    prior = float(settings["pseudo_patients"])
    if asked.bin_ends is None:
        return _shares(sites, among, asked.n_classes, prior)
    rates = relative_rates(sites, among.time_days, among.event, prior)  # type: ignore[arg-type]
    return SiteRates(rates, kaplan_meier(among))


def from_arrays(arrays: Mapping[str, np.ndarray]) -> "SiteShares | SiteRates":
    """The model of its stored arrays."""
    if "shares" in arrays:
        return SiteShares(arrays["shares"], arrays["overall"])
    return SiteRates(arrays["rates"], KaplanMeier(arrays["time_days"], arrays["survival"]))


def check_sites(sites: np.ndarray) -> None:
    """Raise InputError where the patients of ``sites`` [patient, site] are of no site, or all of one."""
    found = int((sites.sum(0) > 0).sum())
    if found == 0:
        message = "no training patient has a site: name one (`site: column`, `site: barcode`), or leave the method out"
        raise InputError(message)
    if found == 1:
        message = "all training patients are of one site, which tells none from another"
        raise InputError(message)


@dataclass(frozen=True)
class SiteShares:
    """Class shares of each site [site, class], and of all training patients [class]."""

    shares: np.ndarray
    overall: np.ndarray

    def predict(self, vectors: np.ndarray, asked: Asked) -> SubtypePrediction:
        """Shares of each unit's site, for vectors [unit, site]; the overall ones where it is none of these."""
        return SubtypePrediction(vectors @ self.shares + _elsewhere(vectors)[:, None] * self.overall)

    def arrays(self) -> dict[str, np.ndarray]:
        """Shares of sites and overall."""
        return {"shares": self.shares, "overall": self.overall}


@dataclass(frozen=True)
class SiteRates:
    """Relative rates of each site [site], and the training patients' Kaplan-Meier curve."""

    rates: np.ndarray
    curve: KaplanMeier

    def predict(self, vectors: np.ndarray, asked: Asked) -> SurvivalPrediction:
        """Risk: the relative rate of each unit's site, 1 where it is none of these.

        vectors [unit, site]. The curve is the training patients', to the power of that rate (proportional hazards).
        """
        risk = vectors @ self.rates + _elsewhere(vectors)
        survival = self.curve.predict(vectors, asked).survival
        assert survival is not None
        return SurvivalPrediction(risk, survival ** risk[:, None])

    def arrays(self) -> dict[str, np.ndarray]:
        """Rates, and the curve's times and survival."""
        return {"rates": self.rates, **self.curve.arrays()}


def _shares(sites: np.ndarray, among: Targets, n_classes: int, prior: float) -> SiteShares:
    overall = class_shares(among, n_classes).shares
    counts = sites.T @ np.eye(n_classes)[among.classes]
    return SiteShares((counts + prior * overall) / (counts.sum(1, keepdims=True) + prior), overall)


def _elsewhere(vectors: np.ndarray) -> np.ndarray:
    """1 for units of no known site."""
    return 1.0 - vectors.sum(1)


def _one_a_patient(targets: Targets) -> np.ndarray:
    if "patient" not in targets.units:
        return np.arange(len(targets))
    return np.flatnonzero(~targets.units["patient"].duplicated().to_numpy())


def _part(targets: Targets, rows: np.ndarray) -> Targets:
    found = {name: getattr(targets, name) for name in ("classes", "time_days", "event", "bins")}
    return Targets(targets.units.iloc[rows], **{name: None if v is None else v[rows] for name, v in found.items()})


SETTINGS = SiteSettings
