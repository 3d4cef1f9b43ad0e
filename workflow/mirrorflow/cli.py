"""The console command ``mirrorflow``: what is useful outside the workflow."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mirrorflow.errors import MirrorflowError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status, 1 with a message for what the user can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except MirrorflowError as error:
        sys.stderr.write(f"mirrorflow: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mirrorflow", description=__doc__)
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="check a config and the sheets it names, and say what does not fit")
    check.add_argument("--configfile", type=Path, default=Path("config/config.yaml"))
    check.set_defaults(command=_check)
    audit = commands.add_parser("audit", help="audit anyone's split files")
    audit.add_argument("--splits", type=Path, required=True, help="folder of splits_<k>.csv (columns train, val)")
    audit.add_argument("--patients", type=Path, help="sheet with patient and optionally site, label")
    audit.set_defaults(command=_audit)
    unlock = commands.add_parser("unlock", help="clear the lock of a Snakemake that is dead")
    unlock.set_defaults(command=_unlock)
    reference = commands.add_parser("config-reference", help="print the reference of all config keys")
    reference.set_defaults(command=_reference)
    reruns = commands.add_parser("reruns", help="print which rules run again after which change (a minute or two)")
    reruns.set_defaults(command=_reruns)
    return parser


def _check(options: argparse.Namespace) -> int:
    from mirrorflow.jobs.check import check_config

    return check_config(options.configfile)


def _audit(options: argparse.Namespace) -> int:
    from mirrorflow.jobs.run_audit import audit_folder

    return audit_folder(options.splits, options.patients)


def _unlock(_options: argparse.Namespace) -> int:
    from mirrorflow.jobs.locks import clear_dead_lock

    return clear_dead_lock(Path.cwd())


def _reference(_options: argparse.Namespace) -> int:
    from mirrorflow.config_reference import reference

    sys.stdout.write(reference())
    return 0


def _reruns(_options: argparse.Namespace) -> int:
    from mirrorflow.reruns import rerun_tables

    sys.stdout.write(rerun_tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
