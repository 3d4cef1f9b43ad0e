"""The tables that come with mirrorflow (``resources/``): where they lie, and what they hold.

A rule names a table's digest among its params instead of the file among its inputs: an edited table re-runs
the rules that read it, a checkout that moved or whose files are new re-runs none.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

RESOURCES = Path(__file__).parents[2] / "resources"


@lru_cache
def resource_digest(name: str) -> str:
    """Sixteen hexadecimal digits that stand for the content of ``resources/<name>``."""
    return hashlib.sha256((RESOURCES / name).read_bytes()).hexdigest()[:16]
