"""What a scenario is asked for on the command line."""

from dataclasses import dataclass

from mirrorflow.errors import InputError


@dataclass(frozen=True)
class Request:
    """Sizes of a scenario; None: its own. Raises InputError for what no study can be."""

    patients: int | None = None
    events: int | None = None
    datasets: int | None = None
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("patients", 20), ("events", 5), ("datasets", 1), ("resamples", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                message = f"bench --{name} {value}: at least {least}"
                raise InputError(message)

    def sizes(self, patients: int, events: int) -> dict[str, int]:
        """Patients and events asked for, else the given ones; events keep their share of other patients."""
        many = self.patients or patients
        return {"patients": many, "events": self.events or round(events * many / patients)}
