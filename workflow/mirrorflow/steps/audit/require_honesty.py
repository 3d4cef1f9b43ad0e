"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from dataclasses import dataclass
from pathlib import Path

from mirrorflow.audit.claims import fail_on_leak
from mirrorflow.runtime.job import Job


@dataclass(frozen=True)
class Inputs:
    """The audit's record."""

    record: Path


@dataclass(frozen=True)
class Params:
    """Whether a broken claim stops the run."""

    strict: bool


def run(inputs: Inputs, outputs: None, params: Params, job: Job) -> None:
    """Fail where the claim is broken."""
    fail_on_leak(str(inputs.record), strict=params.strict)
