"""The dead of unknown cause in the folds: nobody learns from their outcome, one fold's models predict each of them."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from mirrorflow.cohorts.endpoint import died_of_unknown_cause
from mirrorflow.cohorts.splits import Fold


def folds_of_unknown(frame: pd.DataFrame, folds: Sequence[Fold]) -> dict[str, int]:
    """Patient -> number of the fold whose models predict the patient, of the dead of unknown cause.

    It is the fold that evaluates the patient. Published folds may have left these patients out: then it is one that
    does not train on the patient and evaluates most patients of the site, where no training patient is of that site;
    else each such fold in turn, by the patients' names. Who is trained on in every fold is left out.
    """
    sites = dict(zip(frame["patient"], frame["site"].fillna(""), strict=True))
    unknown = sorted(frame.loc[died_of_unknown_cause(frame), "patient"])
    home = {name: places[0] for name in unknown if (places := [k for k, one in enumerate(folds) if name in one.val])}
    strangers = [name for name in unknown if name not in home]
    by_site = {site: _fold_of_site(site, folds, sites) for site in {sites[name] for name in strangers} if site}
    turn = 0
    for name in strangers:
        free = [k for k, fold in enumerate(folds) if name not in fold.train]
        own = by_site.get(sites[name])
        if own in free:
            home[name] = own
        elif free:
            home[name] = free[turn % len(free)]
            turn += 1
    return dict(sorted(home.items()))


def _fold_of_site(site: str, folds: Sequence[Fold], sites: dict[str, str]) -> int | None:
    """The fold that evaluates most patients of a site and trains on none of it; None where there is none."""
    found = Counter(
        {
            k: sum(sites.get(name) == site for name in fold.val)
            for k, fold in enumerate(folds)
            if not any(sites.get(name) == site for name in fold.train)
        }
    )
    best = found.most_common(1)
    return best[0][0] if best and best[0][1] else None
