"""How many slide files were there when a run was planned: a machine that sees fewer must not call the rest failed.

A slide that is nowhere is a row of the ledger, and its run goes on without it. On a cluster the same is found on a node
that has not mounted the slides' disk, and the cohort would be smaller without a word. So the process that plans counts,
and hands the counts to its jobs in their environment, which Snakemake's executors pass on.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from mirrorflow.errors import InputError
from mirrorflow.plan.files import ABSENT, file_state

SEEN = "MIRRORFLOW_SLIDES"
"""Variable with the slide files that were there, as JSON: cohort -> a number a shard."""


def tell_jobs(there: Mapping[str, Sequence[int]]) -> None:
    """Hand every job of this process how many slide files are ``there``: cohort -> a number a shard."""
    os.environ[SEEN] = json.dumps(there, separators=(",", ":"))


def require_seen(cohort: str, shard: int, slides: Sequence[Path]) -> None:
    """Raise InputError where fewer of a shard's ``slides`` are here than when the run was planned.

    Nothing where nobody planned (a step that is called by itself) and for slides that the workflow fetches.
    """
    counts = json.loads(os.environ.get(SEEN, "{}")).get(cohort)
    if counts is None or shard >= len(counts):
        return
    gone = [path for path in slides if file_state(path) == ABSENT]
    if len(slides) - len(gone) < counts[shard]:
        message = (
            f"{gone[0]}: not there on {socket.gethostname()}. {counts[shard]} slides of this job's {len(slides)} were "
            f"there when the run was planned, {len(slides) - len(gone)} are now. Mount their disk there, or keep jobs "
            "off that machine, and run again; none of them was counted as failed"
        )
        raise InputError(message)
