"""What is asked of a finished run: of which of its models, at which times, with what tolerance."""

from dataclasses import dataclass

from mirrorflow.errors import InputError
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.reuse.run_folder import NO_ENCODER, FinishedRun, pick

TASKS = ("subtyping", "survival")
DAYS = (365.0, 730.0, 1095.0, 1825.0)
"""One, two, three and five years."""


@dataclass(frozen=True)
class Request:
    """protocol, cohort, encoder: None takes the honest or the only one. methods: empty for all.

    days: at which survival is given. coverage: what sets of classes aim at. missing_genes: share of a model's genes
    that the expression sheet may lack.
    """

    protocol: str | None = None
    cohort: str | None = None
    encoder: str | None = None
    methods: tuple[str, ...] = ()
    days: tuple[float, ...] = DAYS
    coverage: float = 0.9
    missing_genes: float = 0.1

    def __post_init__(self) -> None:
        if not self.days or min(self.days) <= 0:
            message = f"days: {self.days}: days of survival are positive numbers, such as 365"
            raise InputError(message)
        if not 0.5 <= self.coverage < 1:
            message = f"coverage: {self.coverage}: what sets of classes aim at lies from 0.5 to below 1, such as 0.9"
            raise InputError(message)
        if not 0 <= self.missing_genes < 1:
            message = f"missing_genes: {self.missing_genes}: a share from 0 to below 1, such as 0.1"
            raise InputError(message)


@dataclass(frozen=True)
class Chosen:
    """Protocol, cohort and encoder of a request, resolved, and the methods' manifests."""

    protocol: str
    cohort: str
    encoder: str
    places: tuple[PredictionsManifest, ...]


def chosen(run: FinishedRun, request: Request) -> Chosen:
    """Which manifests a request means. Raises InputError naming what the run has where it does not say enough."""
    places = list(run.manifests)
    protocol = pick(request.protocol, sorted({one.protocol for one in places}), "protocol", "honest")
    places = [one for one in places if one.protocol == protocol]
    cohort = pick(request.cohort, sorted({one.cohort for one in places}), "cohort")
    places = [one for one in places if one.cohort == cohort]
    encoders = sorted({one.encoder for one in places} - {NO_ENCODER})
    encoder = pick(request.encoder, encoders or [NO_ENCODER], "encoder")
    places = [one for one in places if one.encoder in (encoder, NO_ENCODER)]
    there = sorted({one.method for one in places})
    if unknown := sorted(set(request.methods) - set(there)):
        message = f"{run.folder}: no method {', '.join(unknown)} in this run (there: {', '.join(there)})"
        raise InputError(message)
    kept = [one for one in places if not request.methods or one.method in request.methods]
    return Chosen(protocol, cohort, encoder, tuple(kept))
