"""A table of a run as three files: numbers for programs, text for people, LaTeX for a paper."""

from pathlib import Path

import pandas as pd

from mirrorflow.runtime.files import write_text
from mirrorflow.store.tables import write_sheet
from mirrorflow.tables.render import to_latex, to_markdown


def write_table(stem: str | Path, table: pd.DataFrame, caption: str, shown: pd.DataFrame | None = None) -> None:
    """Write ``<stem>.csv`` with ``table``, ``<stem>.md`` and ``<stem>.tex`` with what is shown of it (else all)."""
    pretty = table if shown is None else shown
    write_sheet(f"{stem}.csv", table)
    write_text(f"{stem}.md", to_markdown(pretty, caption))
    write_text(f"{stem}.tex", to_latex(pretty, caption, Path(stem).name))
