"""What a page is made of. Plain values: the templates escape every one of them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pandas as pd

Badge = Literal["", "ok", "warning", "leak", "better", "worse", "alike", "reference"]
"""How a value is marked: always by a word and a border, never by colour alone."""


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, a smaller second line, a badge around the text, bold.

    ``why``: the reason behind the text: a fold that opens, which the page's script shows on hover and focus too.
    ``bar``: low, mean and high of an interval on the scale from 0 to 1, drawn before the text.
    ``image``: data URI of a small picture, whose words are the text. ``mark``: a verdict below all.
    """

    text: str
    below: str = ""
    badge: Badge = ""
    strong: bool = False
    why: str = ""
    bar: tuple[float, float, float] | None = None
    image: str = ""
    mark: "Cell | None" = None


@dataclass(frozen=True)
class Text:
    """A paragraph; ``notice`` frames it."""

    text: str
    notice: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """A table with its caption. ``numeric`` columns are right-aligned; ``filterable`` adds a search field.

    ``choices``: columns of which a reader may choose a value, beside that field.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    filterable: bool = False
    choices: frozenset[int] = frozenset()
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, with what a reader who cannot see it needs.

    ``files``: addresses from the page's folder; the first opens where the image is clicked.
    """

    source: str
    alt: str
    caption: str
    title: str = ""
    badge: Badge = ""
    files: Sequence[str] = ()
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side: small ones under one caption, or ``wide`` ones that carry their own."""

    caption: str
    pictures: Sequence[Picture]
    wide: bool = False
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Listing:
    """A list of lines; ``numbered`` where other parts refer to their numbers."""

    lines: Sequence[str]
    numbered: bool = False
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Code:
    """Text as it is, in letters of equal width."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    badges: Sequence[Cell] = ()
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Details:
    """Blocks behind a line that opens them."""

    summary: str
    blocks: Sequence["Block"]
    opened: bool = False
    kind: ClassVar[str] = "details"


@dataclass(frozen=True)
class Fact:
    """What is asked first, and its answer in a few lines."""

    asked: str
    answers: Sequence[Cell]


@dataclass(frozen=True)
class Facts:
    """Questions and answers side by side."""

    facts: Sequence[Fact]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Card:
    """A framed small table under its own title."""

    title: str
    table: Table


@dataclass(frozen=True)
class Cards:
    """Cards side by side."""

    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


Block = Text | Table | Picture | Gallery | Listing | Code | Heading | Details | Facts | Cards


@dataclass(frozen=True)
class Section:
    """A part of the page with a place in the contents.

    ``parts``: sections within. ``folded``: behind a line that opens it. ``about``: what is in it, in a few words.
    ``files``: what it was made from, as addresses from the page's folder.
    """

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default=())
    parts: Sequence["Section"] = field(default=())
    folded: bool = False
    about: str = ""
    files: Sequence[str] = ()


def cells(*values: object) -> list[Cell]:
    """A row of plain cells; NaN and None are empty, floats have four significant digits."""
    return [value if isinstance(value, Cell) else Cell(plain(value)) for value in values]


def plain(value: object) -> str:
    """A value as a reader wants it."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return str(value)


def table_of(frame: pd.DataFrame, caption: str, *, filterable: bool = False) -> Table:
    """A frame as a table; columns of numbers are right-aligned, underscores in the header are spaces."""
    numeric = frozenset(i for i, name in enumerate(frame) if pd.api.types.is_numeric_dtype(frame[name]))
    rows = [cells(*row) for row in frame.itertuples(index=False)]
    return Table(caption, [str(name).replace("_", " ") for name in frame], rows, numeric, filterable)


def data_uri(content: bytes, mime: str) -> str:
    """Bytes as an address that needs no file and no network; a drawing as text, a quarter shorter than in base64."""
    if mime == SVG:
        return f"data:{mime},{_escaped(content.decode('utf-8'))}"
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


SVG = "image/svg+xml"
ESCAPES = {"%": "%25", "#": "%23", '"': "%22", "'": "%27", "<": "%3C", ">": "%3E", "&": "%26", "url(": "url%28"}
"""What neither an address nor an attribute may hold; the last so that a page can be searched for what it loads."""


def _escaped(drawing: str) -> str:
    """The text of an address. Line ends become spaces, which are the same to XML and which an address keeps."""
    text = " ".join(drawing.split())
    for found, written in ESCAPES.items():
        text = text.replace(found, written)
    return text.replace("://", "%3A//")


def counted(count: int, what: str) -> str:
    """``1 leak``, ``3 leaks``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def badge_cells(counts: Mapping[str, int]) -> list[Cell]:
    """Badges ``n leaks`` and ``n warnings``, or one that says nothing was found."""
    levels: tuple[Badge, ...] = ("leak", "warning")
    found = [Cell(counted(counts[level], level), badge=level) for level in levels if counts.get(level, 0)]
    return found or [Cell("nothing found", badge="ok")]
