"""``mirrorflow check``: a config and the sheets it names, before anything is computed."""

import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mirrorflow.commands.checking.cohort import CohortLook
from mirrorflow.commands.checking.files import file_lines, stored_lines
from mirrorflow.commands.checking.table import table_lines
from mirrorflow.commands.checking.variants import variant_lines
from mirrorflow.config.modalities import left_out_lines
from mirrorflow.config.resolve import resolve
from mirrorflow.config.yaml_keys import check_files
from mirrorflow.errors import ConfigError

MOST_VALUES = math.inf
"""Of a matrix that are looked at: all of them, in blocks."""


def check_config(paths: Sequence[Path]) -> int:
    """Print what fits and what does not, and what will run on how many patients; returns 1 when anything does not fit.

    Raises MirrorflowError when the config itself is not valid.
    """
    config = read_config(paths)
    with progress_shown():
        return _check(config, paths)


@contextmanager
def progress_shown() -> Iterator[None]:
    """Progress on the terminal: feature files may be many."""
    logger, handler = logging.getLogger("mirrorflow.runtime.progress"), logging.StreamHandler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _check(config: Mapping[str, Any], paths: Sequence[Path]) -> int:
    frames: dict[str, pd.DataFrame | None] = {}
    problems = sum(map(_say, _run_lines(config)))
    sys.stdout.writelines(f"{line}\n" for line in variant_lines(_merged(paths).get("methods") or {}))
    for name, entry in config["cohorts"].items():
        if entry["simulated"]:
            sys.stdout.write(f"{name}: simulated, nothing to check\n")
            continue
        look = CohortLook(config, entry, MOST_VALUES)
        problems += sum(_say(line, f"{name}: ") for line in look.lines())
        frames[name] = look.frame
    sys.stdout.writelines(f"{line}\n" for line in ("", *table_lines(config, frames), ""))
    sys.stdout.write(f"{named(paths)}: {problems} problems\n")
    return int(problems > 0)


def _say(line: str, before: str = "") -> bool:
    """Print a line; whether it is a problem."""
    sys.stdout.write(f"{before}{line}\n")
    return line.startswith("PROBLEM")


def _run_lines(config: Mapping[str, Any]) -> Iterator[str]:
    """What concerns the run as a whole."""
    yield from left_out_lines(config)
    yield from file_lines(config)
    yield from stored_lines(config)


def named(paths: Sequence[Path]) -> str:
    """The files of a config, for messages."""
    return " + ".join(map(str, paths))


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """The resolved config of files that stand on top of each other, as Snakemake takes them. Raises ConfigError."""
    config = _merged(paths)
    check_files(paths)
    return resolve(config)


def _merged(paths: Sequence[Path]) -> dict[str, Any]:
    """The config as the files have it, without defaults. Raises ConfigError."""
    from snakemake.utils import update_config

    config: dict[str, Any] = {}
    for path in paths:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            message = f"{path}: not readable as YAML: {error}"
            raise ConfigError(message) from error
        if not isinstance(raw, Mapping):
            message = f"{path}: holds no keys; a config is a YAML mapping such as config/config.yaml"
            raise ConfigError(message)
        update_config(config, raw)
    return config


def cohort_lines(config: Mapping[str, Any], entry: Mapping[str, Any], most_values: float) -> Iterator[str]:
    """What fits of a cohort, line by line, feature files unopened; what does not begins with PROBLEM.

    ``most_values`` of a matrix are read.
    """
    return CohortLook(config, entry, most_values, into_features=False).lines()
