"""``mirrorflow plan``: the jobs of a config counted by rule, or what keeps Snakemake from planning them."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mirrorflow.commands.check import named, read_config
from mirrorflow.errors import InputError
from mirrorflow.plan.jobs import job_table


def plan(paths: Sequence[Path]) -> int:
    """Print the jobs of the config in ``paths``, as from nothing; returns 0.

    Raises ConfigError for a config that is not valid, InputError for what Snakemake cannot plan with: a sheet that is
    not there, a store that was made with other settings.
    """
    from snakemake.exceptions import RuleException, WorkflowError

    read_config(paths)
    try:
        table = job_table(paths, Path.cwd())
    except (WorkflowError, RuleException) as error:
        message = f"{named(paths)}: cannot be planned: {error}"
        raise InputError(message) from error
    sys.stdout.write(table)
    return 0
