"""What the report of a large run costs: 4 cohorts, 12 methods, simulated tables and figures of the demo's sizes.

    PYTHONPATH=workflow python benchmarks/report.py [--cohorts 4] [--methods 12] [--patients 300] [--keep FOLDER]

The run is written first, which is not measured. The last lines are name=value: seconds and CPU seconds from files to
page, and MB of 10^6 bytes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]

from mirrorflow.steps.results.make_report import make_report  # noqa: E402 (as above)
from simulated_report import SimulatedRun  # noqa: E402 (its folder is on no path before)


def measure(folder: Path, cohorts: int, methods: int, patients: int) -> tuple[float, float, float]:
    """Seconds and CPU seconds to make the page, and its MB."""
    run = SimulatedRun(folder, cohorts, methods, patients)
    page = run.results / "report.html"
    start, cpu = time.perf_counter(), time.process_time()
    make_report(run.files, page, run.config, configfiles=[], benchmarks=run.results / "benchmarks")
    return time.perf_counter() - start, time.process_time() - cpu, page.stat().st_size / 1e6


def main() -> None:
    """Write a run, make its page, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=4)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="folder that the run is left in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        seconds, cpu, size = measure(given.keep or Path(temporary), given.cohorts, given.methods, given.patients)
    print(f"report_seconds={seconds:.1f}")
    print(f"report_cpu_seconds={cpu:.1f}")
    print(f"report_mb={size:.1f}")


if __name__ == "__main__":
    main()
