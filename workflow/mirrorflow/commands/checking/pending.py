"""Data sets that a run has yet to fetch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mirrorflow.config.datasets import PART, fold_files


def pending(config: Mapping[str, Any], values: list[Any]) -> Iterator[str]:
    """Data sets among the config's ``values`` that a run has yet to fetch."""
    for name, dataset in config["downloads"].items():
        path = dataset["path"]
        if path in values and not Path(fold_files(path, 0)[0] if PART in path else path).exists():
            yield f"{name}: not there yet, a run fetches it from {dataset['url']}"
