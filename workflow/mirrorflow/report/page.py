"""The page: sections into one HTML string that needs no other file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mirrorflow.report.blocks import Section

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "tables.css", "figures.css", "print.css")
SCRIPTS = ("tables.js", "tips.js", "folds.js")


@dataclass(frozen=True)
class Page:
    """What the report says. ``notices`` stand at its head, framed; ``sections`` in its bar of links."""

    title: str
    subtitle: str
    notices: Sequence[str]
    sections: Sequence[Section]


def build_page(page: Page) -> str:
    """Render ``page``: one self-contained HTML document; every value is escaped, nothing is loaded."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label_beside"] = label_beside
    template = environment.get_template("page.html.j2")
    return template.render(page=page, style=_ours(STYLES), script=_ours(SCRIPTS))


def label_beside(address: str, first: str) -> str:
    """What a file is called beside the first of its row: its ending where it is another form of it, else its name."""
    path, of = PurePosixPath(unquote(address)), PurePosixPath(unquote(first))
    return path.suffix.removeprefix(".") if path.stem == of.stem else path.name


def _ours(names: Sequence[str]) -> Markup:
    """Our own style and script go in as they are; nothing of a user's is in them."""
    return Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))
