"""TTA and its field on real patients: BRCA's disease-specific survival, five folds, one seed, a job at a time.

    python benchmarks/field.py [--methods tta] [--plain] [--cores 2] [--folder KEPT]        # needs ../shared/tcga

Methods and settings are those of tests/workflow/configs/tta_regions.yaml (all its networks but TTA's variants, if none
are named), from features in a fresh folder. --folder: where it is kept; the whole config can go on from there. --plain:
without the risks of every epoch, which that config writes. Prints name=value lines last: seconds and peak memory (MB,
2^20 bytes; a fold's process or its parent, whichever has more) of each job, the slowest, and all jobs together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "tests/workflow/configs/tta_regions.yaml"
FIELD = (
    "snn", "snntrans", "abmil", "clam", "attnmisl", "transmil", "otsurv", "panther", "survpath", "mmp", "tta",
)  # fmt: skip
WITHOUT_SLIDES = ("snn", "snntrans")


def config_of(methods: list[str], *, plain: bool) -> dict[str, Any]:
    """The config's BRCA and the methods alone."""
    config = yaml.safe_load(CONFIG.read_text())
    config["cohorts"] = {"brca": config["cohorts"]["brca"]}
    config["expression"]["sources"] = {"brca": config["expression"]["sources"]["brca"]}
    config["methods"] = {name: config["methods"][name] for name in ("concat-linear", *methods)}
    for entry in config["methods"].values():
        if plain and entry:
            entry.pop("train", None)
    return config


def manifest(method: str) -> str:
    """Where a method's predictions are listed."""
    encoder = "none" if method in WITHOUT_SLIDES else "hipt-vit256-mean"
    return f"results/tta-regions/predictions/honest/brca/{encoder}/{method}/manifest.json"


@contextmanager
def run_folder(kept: Path | None, shared: Path) -> Iterator[Path]:
    """A folder that has the shared data beside it: the named one, or one that is gone afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary) / "run"
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder.parent / "shared"
        if not beside.exists():
            beside.symlink_to(shared.resolve())
        yield folder


def train(folder: Path, config: dict[str, Any], methods: list[str], cores: int) -> None:
    """Train the methods. Raises CalledProcessError where the workflow fails, with its last words."""
    (folder / "field.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores)]
    command += ["--configfile", "field.yaml", "--workflow-profile", str(ROOT / "profiles" / "small")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [*command, *map(manifest, methods)],
        cwd=folder,
        env=environment,
        stdout=-1,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace")[-4000:])
        done.check_returncode()


def cost(folder: Path, method: str) -> tuple[float, float]:
    """Seconds of a method's job, and its peak memory in MB."""
    place = Path(manifest(method)).parent.relative_to("results/tta-regions/predictions")
    table = folder / "results/tta-regions/benchmarks/train_supervised" / f"{place}.tsv"
    (used,) = (folder / "results/tta-regions/logs").rglob(f"*{place}.used.json")
    seconds = float(table.read_text().splitlines()[1].split("\t")[0])
    return seconds, float(json.loads(used.read_text())["peak_mb"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=FIELD, default=list(FIELD))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    given = parser.parse_args()
    with run_folder(given.folder, given.shared) as folder:
        train(folder, config_of(given.methods, plain=given.plain), given.methods, given.cores)
        found = {method: cost(folder, method) for method in given.methods}
    for method, (seconds, memory) in found.items():
        print(f"{method}_brca_seconds={seconds:.0f}")
        print(f"{method}_mb={memory:.0f}")
    print(f"slowest={max(found, key=lambda name: found[name][0])}")
    print(f"field_brca_seconds={sum(seconds for seconds, _ in found.values()):.0f}")


if __name__ == "__main__":
    main()
