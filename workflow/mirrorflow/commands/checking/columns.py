"""Clinical columns that a method asks for and the sheet does not have."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mirrorflow.probes.covariates import TARGETS


def column_lines(config: Mapping[str, Any], clinical: pd.DataFrame) -> Iterator[str]:
    """A warning for each method that is given columns which ``clinical`` lacks: it goes on without them."""
    there = [str(name) for name in clinical if name not in TARGETS]
    for method, entry in config["methods"].items():
        missing = [name for name in entry.get("columns", ()) if name not in clinical]
        if missing:
            yield (
                f"WARNING: methods.{method}.columns: {', '.join(missing)} not in the clinical data, the method goes on "
                f"without (there: {', '.join(there[:12]) or 'none'}); rename columns of the sheet, or name others"
            )
