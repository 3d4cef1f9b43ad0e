"""Snakemake's notes of outputs, as it leaves them in the folder that it was started in."""

import base64
import json
from pathlib import Path

from mirrorflow.plan.records import is_noted


def note(output: str, endtime: float | None = None) -> None:
    """Note an output in the current folder, made at ``endtime``."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    Path(".snakemake/metadata").mkdir(parents=True, exist_ok=True)
    Path(".snakemake/metadata", name).write_text(json.dumps({"endtime": endtime}))
    assert is_noted(output)
