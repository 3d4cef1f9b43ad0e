"""Rule simulate_cohort: a cohort with planted signals in the formats of the real sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.demo.cohort import simulate_cohort
from mirrorflow.runtime.job import Job


@dataclass(frozen=True)
class Outputs:
    """The sheet of slides, in the folder that everything goes to."""

    sheet: Path


@dataclass(frozen=True)
class Params:
    """The config's entry of the simulated cohort."""

    settings: Mapping[str, Any]


def run(inputs: None, outputs: Outputs, params: Params, job: Job) -> None:
    """Simulate the cohort into the sheet's folder."""
    simulate_cohort(outputs.sheet.parent, params.settings, workers=job.threads)
