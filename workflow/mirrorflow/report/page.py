"""The page: sections into one HTML string that needs no other file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mirrorflow.report.blocks import Section

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """What the report says. ``notices`` stand at its head, framed."""

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
    template = environment.get_template("page.html.j2")
    return template.render(page=page, style=_ours("page.css"), script=_ours("filter.js"))


def _ours(name: str) -> Markup:
    """Our own style and script go in as they are; nothing of a user's is in them."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
