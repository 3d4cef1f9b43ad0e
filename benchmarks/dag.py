"""How long Snakemake thinks about a large run: a dry run and a run with nothing to do, in seconds and gigabytes.

    python benchmarks/dag.py                  # 10,000 slides, 2 encoders, 4 cohorts, 9 methods, 5 folds
    python benchmarks/dag.py --slides 100000 --shards 400
    python benchmarks/dag.py --overhead       # seconds a job and a shard cost beside their work (runs jobs)
    python benchmarks/dag.py --waiting 200    # what Snakemake itself takes while that many jobs wait for two cores

The sheets are simulated; slides need not exist to be planned (they are no inputs). For the run with nothing to
do, every declared output is created empty and Snakemake's own ``--touch`` notes each job's inputs and params as
done: the metadata are those of a real run, only the files' contents are not. Each figure is of a fresh process,
as the user would start it. Figures come last as ``name=value`` lines.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import psutil
import yaml

ROOT = Path(__file__).parents[1]
COHORTS = ("brca", "nsclc", "rcc", "coadread")
ENCODERS = {
    "resnet50": {"model": "resnet50", "weights": "hub"},
    "phikon": {"model": "phikon", "weights": "hub"},
}
METHODS: dict[str, dict] = {
    **{name: {} for name in ("linear", "abmil", "ilra-mil", "porpoise", "tangle", "mirror", "concat-linear", "cox")},
    "survpath": {"gene_sets": "random"},
}
TINY = ROOT / "tests" / "workflow" / "configs" / "tiny.yaml"
JOBS = re.compile(r"^total\s+(\d+)\s*$", re.MULTILINE)
GIGA = 1e9


def config_of(shards: int) -> dict:
    """Four cohorts with all there is: own slides, two encoders, two protocols, published folds' number."""
    cohorts = {
        name: {
            "slides": {"sheet": f"sheets/{name}/slides.tsv"},
            "clinical": {"sheet": f"sheets/{name}/patients.tsv"},
            "expression": "toil",
            "encoders": list(ENCODERS),
        }
        for name in COHORTS
    }
    return {
        "run": "large",
        "cohorts": cohorts,
        "slides": {"shards": shards},
        "features": {"encoders": ENCODERS},
        "expression": {"sources": {"toil": {"matrix": "sheets/expression.tsv.gz"}}},
        "splits": {"folds": 5},
        "protocols": {"honest": {}, "paper": {"splits": "random"}},
        "methods": METHODS,
    }


def write_sheets(folder: Path, slides: int) -> None:
    """Sheets with barcodes as long as TCGA's, one slide a patient and a second for every fourth."""
    for number, cohort in enumerate(COHORTS):
        place = folder / "sheets" / cohort
        place.mkdir(parents=True)
        rows = []
        for i in range(slides // len(COHORTS)):
            patient = f"TCGA-{number}{i % 40:02d}-{i // 5 * 4 + min(i % 5, 3):05d}"
            slide = f"{patient}-01Z-00-DX{i % 5 // 4 + 1}.0F1E2D3C-{i:012d}"
            rows.append(f"{slide}\t{patient}\t/data/slides/{slide}.svs\n")
        (place / "slides.tsv").write_text("slide_id\tpatient\tpath\n" + "".join(rows))
        (place / "patients.tsv").write_text("patient\tlabel\n")
    (folder / "sheets" / "expression.tsv.gz").touch()


def start(folder: Path, said: IO[str], *arguments: str) -> subprocess.Popen[bytes]:
    """A Snakemake process on two cores in ``folder``, which writes to ``said``."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    where = ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    where += ["--workflow-profile", str(ROOT / "profiles" / "default")]
    return subprocess.Popen([*command, *where, *arguments], stdout=said, stderr=subprocess.STDOUT, cwd=folder)


def snakemake(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, peak gigabytes and output of a Snakemake process."""
    started = time.perf_counter()
    with (folder / "said.txt").open("w+") as said:
        process = start(folder, said, *arguments)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        said.seek(0)
        text = said.read()
    if status != 0:
        sys.exit(f"snakemake {' '.join(arguments)} failed:\n{text[-3000:]}")
    return seconds, usage.ru_maxrss * 1024 / GIGA, text


def create_outputs(folder: Path) -> int:
    """Every output of the plan, empty, inputs before what reads them; their number."""
    from mirrorflow.plan.jobs import plan_jobs
    from mirrorflow.plan.paths import FiguresFolder

    outputs = [output for job in plan_jobs([folder / "config.yaml"], folder) for output in job.outputs]
    for output in outputs:
        path = folder / output
        if FiguresFolder.fits(path):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return len(outputs)


def think(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="dag-") as name:
        folder = Path(name)
        write_sheets(folder, options.slides)
        (folder / "config.yaml").write_text(yaml.safe_dump(config_of(options.shards), sort_keys=False))
        dry_seconds, dry_gb, said = snakemake(folder, "--dry-run", "--quiet", "rules")
        jobs = int(JOBS.findall(said)[-1])
        outputs = create_outputs(folder)
        touch_seconds, _, _ = snakemake(folder, "--touch", "--quiet")
        noop_seconds, noop_gb, said = snakemake(folder)
        if "Nothing to be done" not in said:
            sys.exit(f"the run with nothing to do did something:\n{said[-3000:]}")
        print(f"slides={options.slides}")
        print(f"shards_a_cohort={options.shards}")
        print(f"methods={len(METHODS)}")
        print(f"outputs={outputs}")
        print(f"touch_seconds={touch_seconds:.1f}")
        print(f"jobs={jobs}")
        print(f"dry_run_seconds={dry_seconds:.1f}")
        print(f"noop_seconds={noop_seconds:.1f}")
        print(f"peak_gb={max(dry_gb, noop_gb):.2f}")


def overhead() -> None:
    """Seconds that a finished shard and a small job take from the user, beside the planning of the run."""
    with tempfile.TemporaryDirectory(prefix="dag-") as name:
        folder = Path(name)
        config = yaml.safe_load(TINY.read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        encoder = next(iter(config["features"]["encoders"]))
        shard = f"store/features/tiny/256px-20x/{encoder}/shards/0.tsv"
        snakemake(folder, shard)
        planning = min(snakemake(folder, shard)[0] for _ in range(3))
        per_shard = min(snakemake(folder, shard, "--force")[0] for _ in range(3)) - planning
        index = f"results/tiny/features/tiny/{encoder}.tsv"
        snakemake(folder, index)
        planning_index = min(snakemake(folder, index)[0] for _ in range(3))
        per_job = min(snakemake(folder, index, "--force")[0] for _ in range(3)) - planning_index
        print(f"planning_seconds={planning:.2f}")
        print(f"overhead_job_seconds={per_job:.2f}")
        print(f"overhead_finished_shard_seconds={per_shard:.2f}")


def waiting(shards: int, arguments: list[str]) -> None:
    """CPU seconds of Snakemake's own process in a run of ``shards`` short jobs that are all ready at once."""
    with tempfile.TemporaryDirectory(prefix="dag-") as name:
        folder = Path(name)
        write_sheets(folder, 4 * shards)  # slides that are not there: a shard is a job that ends in a second
        (folder / "config.yaml").write_text(yaml.safe_dump(config_of(shards), sort_keys=False))
        ledger = f"store/slides/{COHORTS[0]}/256px-20x/ledger.tsv"
        started, used = time.perf_counter(), 0.0
        with (folder / "said.txt").open("w") as said:
            process = start(folder, said, ledger, *arguments)
            itself = psutil.Process(process.pid)
            while process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    used = max(used, sum(itself.cpu_times()[:2]))  # user and system, without its children
                time.sleep(0.1)
        if process.returncode != 0 or not (folder / ledger).exists():
            sys.exit(f"the run failed:\n{(folder / 'said.txt').read_text()[-3000:]}")
        print(f"waiting_jobs={shards}")
        print(f"run_seconds={time.perf_counter() - started:.1f}")
        print(f"snakemake_cpu_seconds={used:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=25, help="of each cohort (25: 100 slides a shard)")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--waiting", type=int, metavar="JOBS", help="further arguments go to Snakemake")
    options, more = parser.parse_known_args()
    if more and not options.waiting:
        parser.error(f"unknown {more}")
    if options.overhead:
        overhead()
    elif options.waiting:
        waiting(options.waiting, more)
    else:
        think(options)
