"""What noticing a user's files costs a plan: a cohort of 10,000 slides whose features were made elsewhere.

    python benchmarks/plan_stats.py --slides 10000

Plans with and without the states of the files, and once more after one feature file was replaced. Prints name=value.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from mirrorflow.plan import files  # noqa: E402
from mirrorflow.plan.jobs import changed_jobs, plan_jobs  # noqa: E402

SHARDS = 16
CONFIG = {
    "run": "stats",
    "cohorts": {
        "cohort": {
            "slides": {"sheet": "slides.tsv"},
            "clinical": {"sheet": "patients.tsv"},
            "expression": "rna",
            "encoders": ["elsewhere", "resnet50"],
            "features": {"elsewhere": "features"},
            "splits": {"published": "folds"},
        }
    },
    "slides": {"shards": SHARDS},
    "features": {"encoders": {"resnet50": {"model": "resnet50", "weights": "hub"}}},
    "expression": {"sources": {"rna": {"matrix": "expression.tsv"}}},
    "protocols": {"honest": {}},
    "methods": {"linear": {}, "abmil": {}},
}
"""Slides of its own, and features of two encoders: made here from the slides, and made elsewhere."""


def write_cohort(folder: Path, slides: int) -> None:
    (folder / "features").mkdir()
    (folder / "slides").mkdir()
    (folder / "folds").mkdir()
    rows = []
    for number in range(slides):
        (folder / "features" / f"slide-{number}.h5").write_bytes(b"features")
        (folder / "slides" / f"slide-{number}.svs").write_bytes(b"slide")
        rows.append(f"slide-{number}\tpatient-{number}\tslides/slide-{number}.svs\n")
    (folder / "slides.tsv").write_text("slide_id\tpatient\tpath\n" + "".join(rows))
    for name in ("patients.tsv", "expression.tsv"):
        (folder / name).touch()
    for fold in range(5):
        (folder / "folds" / f"splits_{fold}.csv").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))


def timed(folder: Path) -> tuple[float, list]:
    started = time.perf_counter()
    jobs = plan_jobs([folder / "config.yaml"], folder)
    return time.perf_counter() - started, jobs


def without_states(folder: Path) -> float:
    """Seconds of a plan that looks at no file."""
    module = sys.modules["mirrorflow.plan.slides"]
    kept = module.features_state, module.given
    module.features_state, module.given = (lambda *_: "same"), (lambda *_: {})
    try:
        return min(timed(folder)[0] for _ in range(2))
    finally:
        module.features_state, module.given = kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=10_000)
    slides = parser.parse_args().slides
    with tempfile.TemporaryDirectory(prefix="plan-stats-") as name:
        folder = Path(name)
        write_cohort(folder, slides)
        timed(folder)
        without = without_states(folder)
        seconds, before = min((timed(folder) for _ in range(2)), key=lambda found: found[0])
        started = time.perf_counter()
        files.features_state(str(folder / "features"), [f"slide-{number}" for number in range(slides)])
        stats = time.perf_counter() - started
        path = folder / "features" / f"slide-{slides // 2}.h5"
        path.write_bytes(b"serutaef")
        os.utime(path, ns=(1, 1))
        _, after = timed(folder)
        changed = {job.rule for job in changed_jobs(before, after)}
        os.chdir(ROOT)
    print(f"slides={slides}")
    print(f"jobs={len(before)}")
    print(f"plan_seconds={seconds:.2f}")
    print(f"plan_without_states_seconds={without:.2f}")
    print(f"states_seconds={seconds - without:.2f}")
    print(f"features_folder_seconds={stats:.3f}")
    print(f"replaced_file_starts={','.join(sorted(changed))}")


if __name__ == "__main__":
    main()
