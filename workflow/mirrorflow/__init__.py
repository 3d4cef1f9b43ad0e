"""From whole-slide images and RNA to a results table you can trust.

The package behind the workflow. Arrows run one way: see the layers in ``pyproject.toml``
(``[tool.importlinter]``) and the map of the house in ``CONTRIBUTING.md``.

For use from Python (docs/python_api.md; nothing heavy is imported before a name is used):

- :func:`load_run`: a finished run as tables and models;
- :mod:`mirrorflow.metrics`: the metrics of a fold's predictions;
- :func:`audit_splits`: leaks in anyone's folds;
- :func:`open_slide`: a whole-slide image, whoever made it;
- :func:`select_genes`: genes of training patients.

These names are public. Versions are semantic: what is public keeps its meaning within one major version, and before
1.0.0 within one minor version.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirrorflow import metrics
    from mirrorflow.reuse.api import audit_splits, load_run, select_genes
    from mirrorflow.slides.reader import open_slide

__version__ = "0.1.0"
__all__ = ["__version__", "audit_splits", "load_run", "metrics", "open_slide", "select_genes"]

_WHERE = {
    "audit_splits": "mirrorflow.reuse.api",
    "load_run": "mirrorflow.reuse.api",
    "select_genes": "mirrorflow.reuse.api",
    "open_slide": "mirrorflow.slides.reader",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name == "metrics":
        return import_module("mirrorflow.metrics")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    message = f"module 'mirrorflow' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
