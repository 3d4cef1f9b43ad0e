"""A page in a headless Chromium of the system: opened without a network, with all that it says and asks for noted."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
WIDTHS = {390: 844, 1280: 800, 1440: 900, 1920: 1080}
"""Width and height of the windows, px."""

Scheme = Literal["light", "dark"]


@dataclass
class Opened:
    """A page as it stands in the browser; ``said``: its errors and warnings; ``asked``: addresses it requested."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def faults(self, check: str, *arguments: str) -> list[str]:
        """What a check of page_checks.js finds."""
        return self.page.evaluate(f"(given) => ({CHECKS}).{check}(...given)", list(arguments))

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def open_all(self) -> None:
        """Open every fold, as a reader could."""
        self.page.evaluate("document.querySelectorAll('details:not(.tip)').forEach((fold) => (fold.open = true))")

    def resize(self, width: int) -> None:
        """Give the window one of the widths."""
        self.page.set_viewport_size({"width": width, "height": WIDTHS[width]})


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium. Where there is none the test is skipped, or fails where it must not be (.ci/run)."""
    if CHROMIUM is None:
        missing = pytest.fail if os.environ.get("MIRRORFLOW_NEEDS_CHROMIUM") else pytest.skip
        missing("no Chromium on this machine: apt-get install chromium fonts-dejavu-core")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Any, path: Path, width: int = 1280, scheme: Scheme = "light", **more: Any) -> Iterator[Opened]:
    """The page at ``path``. ``more``: of playwright's context, such as ``java_script_enabled``."""
    window = {"width": width, "height": WIDTHS[width]}
    context = chromium.new_context(viewport=window, color_scheme=scheme, offline=True, **more)
    one = Opened(context.new_page())
    one.page.on("console", lambda message: message.type in ("error", "warning") and one.said.append(message.text))
    one.page.on("pageerror", lambda error: one.said.append(str(error)))
    one.page.on("request", lambda request: one.asked.append(request.url))
    one.page.goto(path.resolve().as_uri())
    yield one
    context.close()
