"""From whole-slide images and RNA to a results table you can trust.

The package behind the workflow. Arrows run one way: see the layers in ``pyproject.toml``
(``[tool.importlinter]``) and the map of the house in ``CONTRIBUTING.md``.
"""
