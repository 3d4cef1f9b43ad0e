"""A config that is just enough to be accepted."""

from typing import Any


def minimal(**changes: Any) -> dict[str, Any]:
    """The smallest config that is accepted, with top-level keys changed."""
    cohort = {
        "slides": {"sheet": "slides.tsv"},
        "clinical": {"sheet": "patients.tsv"},
        "expression": "own",
        "encoders": ["uni"],
        "features": {"uni": "somewhere"},
    }
    config = {"run": "mine", "cohorts": {"a": cohort}, "expression": {"sources": {"own": {"matrix": "rna.tsv"}}}}
    return config | changes
