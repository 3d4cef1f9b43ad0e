"""Event rates of sites, drawn towards the overall one; apart from the method, since the audit reads them too."""

import numpy as np


def relative_rates(sites: np.ndarray, time_days: np.ndarray, event: np.ndarray, pseudo_patients: float) -> np.ndarray:
    """Events a person-time of each site [site] over those of all patients, drawn towards 1.

    sites [patient, site]. (events + prior) / (expected + prior): expected at the overall rate in the site's
    person-time, prior the events of ``pseudo_patients`` patients. 1 where nobody has an event.
    """
    if not event.any():
        return np.ones(sites.shape[1])
    prior = pseudo_patients * event.mean()
    expected = (sites.T @ time_days) * event.sum() / time_days.sum()
    return (sites.T @ event + prior) / (expected + prior)
