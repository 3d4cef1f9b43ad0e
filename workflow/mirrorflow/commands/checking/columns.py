"""Clinical columns that a method asks for: which the sheet lacks, and of which numbers cannot be read."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mirrorflow.probes.covariates import TARGETS, commas_left, known_values, units_left


def column_lines(config: Mapping[str, Any], clinical: pd.DataFrame) -> Iterator[str]:
    """A warning for each method that is given columns which ``clinical`` lacks: it goes on without them; a problem for
    a column of numbers whose commas nobody read.
    """
    there = [str(name) for name in clinical if name not in TARGETS]
    for method, entry in config["methods"].items():
        missing = [name for name in entry.get("columns", ()) if name not in clinical]
        if missing:
            yield (
                f"WARNING: methods.{method}.columns: {', '.join(missing)} not in the clinical data, the method goes on "
                f"without (there: {', '.join(there[:12]) or 'none'}); rename columns of the sheet, or name others"
            )
        for name in entry.get("columns", ()):
            known = known_values(clinical, name)
            if said := commas_left(name, known):
                yield f"PROBLEM: methods.{method}.columns: {said}"
            elif said := units_left(name, known):
                yield f"WARNING: methods.{method}.columns: {said}"
