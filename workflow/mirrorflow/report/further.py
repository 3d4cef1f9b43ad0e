"""Further tables of a run (optimism, ablations, ...), as their Markdown files have them."""

import re
from collections.abc import Mapping, Sequence

from mirrorflow.report.blocks import Block, Heading, Section, Table, Text, cells


def further_sections(tables: Mapping[str, tuple[str, Sequence[Sequence[str]]]]) -> list[Section]:
    """One section with all of them; none without any. tables: name -> caption and rows, the header first."""
    blocks: list[Block] = []
    for name, (caption, (header, *rows)) in tables.items():
        blocks.append(Heading(re.sub(r"\bTta\b", "TTA", name.replace("_", " ").capitalize())))
        text = f"{caption} File tables/{name}.csv, by the rule that writes it; protocol as the caption says."
        blocks.append(Table(text, list(header), [cells(*row) for row in rows]) if rows else Text(f"{caption} No row."))
    return [Section("further", "Further tables", blocks)] if blocks else []
