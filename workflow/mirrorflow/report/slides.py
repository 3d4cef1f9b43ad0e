"""The ledger of slides: how many went well, which did not and why, with pictures of mask and grid."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mirrorflow.report.blocks import (
    Badge,
    Block,
    Cell,
    Details,
    Gallery,
    Heading,
    Picture,
    Section,
    Table,
    Text,
    cells,
    data_uri,
    plain,
)

SHOWN_OK = 24
"""Slides without trouble whose pictures are shown; failing ones are all shown."""
SHOWN_ROWS = 1000
"""Longest ledger on the page; failing slides come first, the file has all."""
BADGES: Mapping[str, Badge] = {"ok": "ok", "no_tissue": "warning", "failed": "leak"}


@dataclass(frozen=True)
class Ledger:
    """A cohort's ledger under a patch preset (cells as text), and JPEG bytes by slide_id and of the contact sheet."""

    cohort: str
    patching: str
    rows: pd.DataFrame
    overlays: Mapping[str, bytes] = field(default_factory=dict)
    contact_sheet: bytes | None = None


def failures_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a ledger: failed, then without tissue, then the others; by slide_id within."""
    order = {"failed": 0, "no_tissue": 1, "ok": 3}
    rank = rows["status"].map(order).fillna(2)
    return rows.assign(_rank=rank).sort_values(["_rank", "slide_id"], kind="stable").drop(columns="_rank")


def slides_to_show(rows: pd.DataFrame, shown_ok: int = SHOWN_OK) -> list[str]:
    """Slides whose pictures go on the page: all in trouble, and ``shown_ok`` others spread over the ledger."""
    ordered = failures_first(rows)
    troubled = ordered.loc[ordered["status"] != "ok", "slide_id"].tolist()
    fine = ordered.loc[ordered["status"] == "ok", "slide_id"].tolist()
    if len(fine) > shown_ok:
        fine = [fine[place] for place in np.linspace(0, len(fine) - 1, shown_ok).round().astype(int)]
    return troubled + fine


def slides_section(ledgers: Sequence[Ledger]) -> Section:
    """One part a ledger."""
    blocks: list[Block] = []
    for ledger in ledgers:
        blocks += [Heading(f"{ledger.cohort}, {ledger.patching}"), _counts(ledger), *_troubled(ledger)]
        blocks += [_gallery(ledger), *_contact_sheet(ledger), _whole(ledger)]
    if not ledgers:
        blocks.append(Text("This run begins from features made elsewhere: no slide was read, and there is no ledger."))
    return Section("slides", "Slides", blocks)


def _where(ledger: Ledger) -> str:
    return f"slides/{ledger.cohort}/{ledger.patching}/ledger.tsv in the store"


def _counts(ledger: Ledger) -> Table:
    counts = ledger.rows["status"].value_counts()
    names = [*BADGES, *sorted(set(counts.index) - set(BADGES))]
    rows = [cells(Cell(name, badge=BADGES.get(name, "warning")), int(counts.get(name, 0))) for name in names]
    caption = (
        f"Slides of {ledger.cohort} by status, n = {len(ledger.rows)}, the same for every protocol. Rule write_ledger, "
        f"{_where(ledger)}."
    )
    return Table(caption, ("status", "slides"), rows, frozenset({1}))


def _troubled(ledger: Ledger) -> list[Block]:
    rows = failures_first(ledger.rows)
    rows = rows[rows["status"] != "ok"]
    if rows.empty:
        return []
    return [
        _table(rows.head(SHOWN_ROWS), f"Slides that did not go well, with the reason, n = {len(rows)}. {_rule(ledger)}")
    ]


def _whole(ledger: Ledger) -> Details:
    rows = failures_first(ledger.rows).head(SHOWN_ROWS)
    more = "" if len(rows) == len(ledger.rows) else f" The first {len(rows)}; the file has all."
    table = _table(rows, f"The ledger, n = {len(ledger.rows)} slides.{more} {_rule(ledger)}", filterable=True)
    return Details(f"The whole ledger of {ledger.cohort}, {ledger.patching}", (table,))


def _rule(ledger: Ledger) -> str:
    return f"Rule write_ledger, {_where(ledger)}; the same for every protocol."


def _table(rows: pd.DataFrame, caption: str, *, filterable: bool = False) -> Table:
    columns = [name for name in rows if (rows[name].astype(str) != "").any()]
    body = [
        [
            Cell(str(value), badge=BADGES.get(str(value), "warning")) if name == "status" else Cell(_short(str(value)))
            for name, value in zip(columns, row, strict=True)
        ]
        for row in rows[columns].itertuples(index=False)
    ]
    numeric = frozenset(i for i, name in enumerate(columns) if _numbers(rows[name]))
    return Table(caption, [str(name).replace("_", " ") for name in columns], body, numeric, filterable)


def _numbers(column: pd.Series) -> bool:
    filled = column[column.astype(str) != ""]
    return len(filled) > 0 and bool(pd.to_numeric(filled, errors="coerce").notna().all())


def _short(text: str) -> str:
    """A long decimal number with four digits; anything else as it is."""
    if "." not in text or len(text) <= 7:
        return text
    try:
        return plain(float(text))
    except ValueError:
        return text


def _gallery(ledger: Ledger) -> Gallery:
    rows = {row["slide_id"]: row for row in ledger.rows.to_dict("records")}
    chosen = [rows[slide] for slide in slides_to_show(ledger.rows)]
    shown = [row for row in chosen if row["slide_id"] in ledger.overlays or row["status"] != "ok"]
    pictures = [_picture(row, ledger.overlays.get(row["slide_id"])) for row in shown]
    fine = int((ledger.rows["status"] == "ok").sum())
    shown_fine = sum(picture.badge == "ok" for picture in pictures)
    caption = (
        f"Thumbnails with tissue (green outline) and patches (blue): all slides that did not go well, and {shown_fine} "
        f"of the {fine} others, spread evenly over the ledger. Rule patch_slides; the same for every protocol."
    )
    return Gallery(caption, pictures)


def _picture(row: Mapping[Hashable, str], content: bytes | None) -> Picture:
    slide, status = row["slide_id"], row["status"]
    kept = f"{row['patches']} patches" if row["patches"] else ""
    alt = f"Slide {slide} with its tissue mask and patches" if content else "no picture of this slide"
    source = data_uri(content, "image/jpeg") if content else ""
    caption = ". ".join(filter(None, [slide, row["reason"], kept]))
    return Picture(source, alt, caption, title=status, badge=BADGES.get(status, "warning"))


def _contact_sheet(ledger: Ledger) -> list[Block]:
    if ledger.contact_sheet is None:
        return []
    caption = (
        f"All slides of {ledger.cohort} on one sheet, n = {len(ledger.rows)}, for every protocol. Rule write_ledger."
    )
    alt = f"Contact sheet of the {len(ledger.rows)} slides of {ledger.cohort}; the ledger below says the same in words"
    return [Details("Contact sheet", (Picture(data_uri(ledger.contact_sheet, "image/jpeg"), alt, caption),))]
