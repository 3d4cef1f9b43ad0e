"""``mirrorflow bench``: a scenario whose truth is known, as a table and name=value lines."""

import sys
import time

from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import SCENARIOS, scenario


def run_bench(name: str, request: Request) -> int:
    """Run a scenario and print what it found; ``list`` prints the scenarios."""
    if name == "list":
        sys.stdout.writelines(f"{one}: {entry.about}\n" for one, entry in SCENARIOS.items())
        return 0
    start = time.perf_counter()
    result = scenario(name).run(request)
    seconds = time.perf_counter() - start
    lines = [*result.said, "", result.table.to_string(index=False, float_format=lambda value: f"{value:.3f}"), ""]
    lines += [f"{key}={value:.4f}" for key, value in result.figures.items()]
    sys.stdout.write("\n".join([*lines, f"seconds={seconds:.1f}"]) + "\n")
    return 0
