"""All probes of one cohort from its embeddings: 2 tasks, 2 settings (all data, 10-shot), 5 folds.

    python benchmarks/probe.py [--patients 764] [--rounds 3]

The job of rule probe_mirror on simulated embeddings of the published width (768 a modality), with the default probe
(100 epochs), as a fresh process does it: files are read, heads fitted, predictions written. Under `honest` embeddings
are frozen; under `paper` there is one draw for each of the probe's epochs, with dropout for training. The best round
counts; figures come last, as name=value lines.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mirrorflow.cohorts.patients import to_units
from mirrorflow.config.resolve import resolve
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.store.embeddings import write_embeddings
from mirrorflow.store.tables import write_cohort
from mirrorflow.training.embedding import Embeddings

ROOT = Path(__file__).parents[1]
DEMO = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
CONFIG = resolve({key: value for key, value in DEMO.items() if key != "probe"})
DEFAULTS = CONFIG["probe"]
WIDTH, FOLDS, SHOTS, TASKS = 768, 5, [10], ["subtyping", "survival"]
PROTOCOLS = {"honest": CONFIG["protocols"]["honest"], "paper": CONFIG["protocols"]["paper"]}


def simulate(folder: Path, patients: int) -> None:
    """A cohort of two classes (18% in the smaller), outcomes, folds, support sets and embeddings, in files."""
    rng = np.random.default_rng(0)
    names = [f"TCGA-{number % 40:02d}-{number:04d}" for number in range(patients)]
    second = rng.random(patients) < 0.18
    frame = pd.DataFrame(
        {
            "patient": names,
            "label": np.where(second, "ILC", "IDC"),
            "time_days": rng.exponential(1500, patients).round() + 1,
            "event": (rng.random(patients) < 0.3).astype(float),
            "site": [name[5:7] for name in names],
            "slide_ids": [[f"{name}-01Z-00-DX1"] for name in names],
        }
    )
    write_cohort(folder / "cohort.parquet", frame, ["IDC", "ILC"])
    splits = [str(folder / f"splits_{fold}.csv") for fold in range(FOLDS)]
    make_splits(str(folder / "cohort.parquet"), splits, str(folder / "splits.tsv"), kind="random", folder=None, seed=0)
    for unit in ("patient", "slide"):
        draw_support(
            str(folder / "cohort.parquet"),
            splits,
            str(folder / f"support-{unit}.tsv"),
            unit=unit,
            shots=SHOTS,
            bins=DEFAULTS["survival_bins"],
            seed=0,
        )
    for name, protocol in PROTOCOLS.items():
        draws = DEFAULTS["epochs"] if protocol["probe_features"] == "resampled_dropout" else 1
        units = tuple(to_units(frame, protocol["unit"])["unit"])
        files = [folder / f"{name}-fold{fold}.safetensors" for fold in range(FOLDS)]
        for path in files:
            signal = np.outer(second, 0.3 * rng.normal(size=WIDTH)).astype(np.float32)
            shape = (4 if draws > 1 else 2, draws, patients, WIDTH)
            slide, rna, *others = signal + rng.standard_normal(shape, dtype=np.float32)
            write_embeddings(path, Embeddings(units, slide, rna, *(others or (slide, rna))), {"fold": path.stem})
        (folder / f"{name}.json").write_text(json.dumps({"embeddings": [str(path) for path in files]}))


def probe(folder: Path, name: str) -> None:
    """What rule probe_mirror does for a method under one protocol."""
    protocol = PROTOCOLS[name]
    plan = Plan(
        cohort=str(folder / "cohort.parquet"),
        splits=[str(folder / f"splits_{fold}.csv") for fold in range(FOLDS)],
        support=str(folder / f"support-{protocol['unit']}.tsv"),
        protocol=protocol,
        tasks=TASKS,
        shots=SHOTS,
        seeds=[42],
        bins=DEFAULTS["survival_bins"],
        method={"family": "mirror", "probe": DEFAULTS},
    )
    vectors = Embedded.of_records(
        [str(folder / f"{name}.json")], resampled=protocol["probe_features"] == "resampled_dropout"
    )
    with tempfile.TemporaryDirectory(dir=folder) as out:
        predict_method(plan, vectors, out, str(Path(out) / "manifest.json"), name)
        written = json.loads((Path(out) / "manifest.json").read_text())
    if len(written["written"]) != len(TASKS) * FOLDS or written["skipped"]:
        message = f"not all was predicted: {written}"
        raise RuntimeError(message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=764)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("FOLDER", "PROTOCOL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        probe(Path(arguments.only[0]), arguments.only[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), arguments.patients)
        best = dict.fromkeys(PROTOCOLS, float("inf"))
        for _ in range(arguments.rounds):
            for name in PROTOCOLS:
                started = time.perf_counter()
                subprocess.run([sys.executable, __file__, "--only", folder, name], check=True)
                best[name] = min(best[name], time.perf_counter() - started)
    print(f"patients={arguments.patients} probe_epochs={DEFAULTS['epochs']} width={2 * WIDTH}")
    print(f"probes_paper_seconds={best['paper']:.2f}")
    print(f"probes_seconds={best['honest']:.2f}")


if __name__ == "__main__":
    main()
