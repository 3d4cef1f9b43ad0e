"""Seconds that `predict` takes for new patients from features, beyond importing: `python benchmarks/predict.py`.

A run of two folds on a small planted cohort; its models do not matter, the new patients' files do: one slide each, of
``--patches`` patches of ``--width`` values, and an expression sheet. Its last line is the wall clock, the one before
it the CPU time, which other jobs on the machine move less.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--methods", nargs="+", default=["majority", "linear", "abmil", "cox"])
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), asked)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    import sksurv.nonparametric  # noqa: F401 (importing is not measured)

    import labelled_cohort
    from finished_run import finished_run
    from mirrorflow.reuse.request import Request
    from mirrorflow.steps.reuse.new_inputs import Given
    from mirrorflow.steps.reuse.predict_patients import predict_given
    from mirrorflow.store.features import FeatureWriter

    labelled_cohort.WIDTH = asked.width
    run, _ = finished_run(folder / "run", tuple(asked.methods))
    rng, features = np.random.default_rng(0), folder / "features"
    features.mkdir()
    names = [f"new{i}" for i in range(asked.patients)]
    for name in names:
        with FeatureWriter(features / f"{name}.h5", asked.width, "float32", {}) as writer:
            bag = rng.standard_normal((asked.patches, asked.width), dtype=np.float32)
            writer.append(bag, np.zeros((asked.patches, 2), np.int64))
            writer.finish({}, {}, {})
    table = pd.DataFrame(rng.normal(size=(4, len(names))), index=pd.Index([f"t{i}" for i in range(4)]), columns=names)
    table.to_csv(folder / "rna.tsv", sep="\t", index_label="id")
    given = Given(folder / "work", features=features, expression=folder / "rna.tsv")
    began, cpu = time.perf_counter(), time.process_time()
    made, _ = predict_given(run, given, Request(), folder / "out", asked.threads)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"patients={asked.patients}")
    print(f"patches_a_patient={asked.patches}")
    print(f"models={sum(len(manifest.models) for manifest in run.manifests.values())}")
    print(f"rows={len(made.tables['subtyping']) + len(made.tables['survival'])}")
    print(f"cpu_s={used:.2f}")
    print(f"seconds={seconds:.2f}")


if __name__ == "__main__":
    main()
