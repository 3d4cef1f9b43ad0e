"""Whether a protocol's claim of honesty holds: what is withheld, and what a run stops with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirrorflow.audit import findings as audit
from mirrorflow.config.protocols import GENERATED_SPLITS, REPAIRED, repair_hint
from mirrorflow.errors import MirrorflowError
from mirrorflow.store.method_predictions import FIX


def is_withheld(record: Mapping[str, Any], *, strict: bool) -> bool:
    """Whether the numbers of an audited protocol are kept out of every table.

    With ``strict`` under an honest claim with a leak; always where its predictions are not the run's own.
    """
    leaking = {finding["kind"] for finding in record["findings"] if finding["level"] == audit.LEAK}
    return bool(leaking & audit.UNUSABLE) or (strict and bool(record["claims_honest"]) and bool(leaking))


def fail_on_leak(record: str, *, strict: bool) -> None:
    """Raise MirrorflowError where :func:`is_withheld` holds, with every leak and the fix."""
    audited = json.loads(Path(record).read_text())
    leaks = audit.leaks([audit.Finding(**finding) for finding in audited["findings"]])
    if is_withheld(audited, strict=strict):
        said = "\n".join(f"  {where_of(finding)}{finding.text}{_named(finding)}" for finding in leaks)
        if any(finding.kind in audit.UNUSABLE for finding in leaks):
            why = "has predictions that are not the run's own, from which no number is made"
            fix = f"No setting allows it: {FIX}."
        else:
            why = "claims to be honest"
            fix = (
                f"Fix the splits or the protocol{repair_of(audited)}, or set `claims_honest: false` for it, or "
                "`strict: false`."
            )
        message = (
            f"{record}: {audited['protocol']} on {audited['cohort']} {why} and has {len(leaks)} leaks:\n{said}\n{fix}"
        )
        raise MirrorflowError(message)


def repair_of(record: Mapping[str, Any]) -> str:
    """How folds that share patients are fixed; nothing where none does."""
    if not any(finding["kind"] == "patients_in_both" for finding in record["findings"]):
        return ""
    splits = record.get("keys", {}).get("splits", "")
    if not splits or splits in GENERATED_SPLITS or splits.endswith(REPAIRED):
        return ""
    command = "`mirrorflow audit --splits FOLDER --repair OUT` writes them"
    return f" ({repair_hint(splits)}; {command})"


def where_of(finding: audit.Finding) -> str:
    """The fold of a finding, to begin a line with."""
    return "all folds: " if finding.fold is None else f"fold {finding.fold}: "


def _named(finding: audit.Finding) -> str:
    """The examples of a finding, for a message."""
    return f" ({', '.join(finding.examples)})" if finding.examples else ""
