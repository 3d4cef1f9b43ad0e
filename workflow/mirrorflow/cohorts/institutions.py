"""Tables of institutions: which hospital stands behind a site code."""

import pandas as pd

from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError


def institution_names(table: pd.DataFrame, where: str) -> dict[str, str]:
    """Site code -> institution, from a sheet with the columns site and institution. Raises InputError without
    them, and where a site has two institutions.
    """
    missing = {"site", "institution"} - set(table)
    if missing:
        message = f"{where}: no column {', '.join(sorted(missing))}; a table of institutions has site and institution"
        raise InputError(message)
    known = table[~table["institution"].map(is_unknown).astype(bool)]
    different = known.groupby("site")["institution"].nunique()
    if twice := list(different.index[different > 1]):
        message = f"{where}: sites with two institutions: {', '.join(twice[:5])}; keep one of their rows"
        raise InputError(message)
    return dict(zip(known["site"], known["institution"], strict=True))
