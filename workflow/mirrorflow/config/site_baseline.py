"""The method ``site``, which a run has without naming it where folds may have a site on both sides."""

from collections.abc import Mapping
from typing import Any

from mirrorflow.config.protocols import SINGLE_CHANGE, SITE_PRESERVED

SITE = "site"
"""Its name, and its family's."""


def with_site_baseline(config: Mapping[str, Any]) -> dict[str, Any]:
    """The methods of a config whose protocols are resolved, with ``site`` first.

    It is left out where a run names the method itself, turns it off (``evaluation.site_baseline: false``), keeps
    sites apart under every protocol, or knows no site (``site: none``) of any cohort.
    """
    methods = dict(config["methods"])
    cohorts = [name for name, entry in config["cohorts"].items() if entry["site"] != "none"]
    own = any(name.split("--")[0] == SITE for name in methods)
    wanted = config["evaluation"].get("site_baseline", True) and not own
    if not (wanted and cohorts and any(mixes(*named) for named in config["protocols"].items())):
        return methods
    where = {} if len(cohorts) == len(config["cohorts"]) else {"cohorts": cohorts}
    return {SITE: {"under": "mixing", **where}, **methods}


def mixes(name: str, protocol: Mapping[str, Any]) -> bool:
    """Whether a protocol has folds that may have a site on both sides; no single change's."""
    return not name.startswith(SINGLE_CHANGE) and protocol["splits"] != SITE_PRESERVED
