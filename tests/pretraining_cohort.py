"""A small cohort on disk, for the jobs that pretrain."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from mirrorflow.learners import pretrained as job
from mirrorflow.steps.training.embed import EmbedFiles, embed_fold
from mirrorflow.store.expression import ExpressionWriter

PATIENTS = [f"TCGA-{number:02d}" for number in range(12)]
TRAIN = PATIENTS[:9]
SETTINGS = {
    "width": 48, "tokens": 6, "prototypes": 10, "style_widths": [12, 8, 4], "attention": "exact",
    "epochs": 3, "batch_size": 4, "learning_rate": 1e-3, "feature_scaling": "train", "precision": "float32",
}  # fmt: skip


CPU = job.Machine(1, "cpu")


class Cohort:
    """A cohort on disk; the first patient has two slides, the second lost one of two."""

    def __init__(self, folder: Path, *, patch_dim: int = 5, genes: int = 7) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.index = folder, folder / "features.tsv"
        slides = {patient: [f"{patient}-A"] for patient in PATIENTS}
        slides[PATIENTS[0]].append(f"{PATIENTS[0]}-B")
        slides[PATIENTS[1]].append(f"{PATIENTS[1]}-B")
        rows = []
        for patient, names in slides.items():
            for name in names:
                path = folder / f"{name}.h5"
                with h5py.File(path, "w") as file:
                    file["features"] = rng.normal(size=(8, patch_dim)).astype(np.float32)
                status = "failed" if name == f"{PATIENTS[1]}-B" else "ok"
                rows.append((name, patient, str(path), 8, patch_dim, status))
        columns = ["slide_id", "patient", "path", "patches", "dim", "status"]
        pd.DataFrame(rows, columns=columns).to_csv(self.index, sep="\t", index=False)
        self.units = pd.DataFrame({"unit": PATIENTS, "patient": PATIENTS, "slide_ids": list(slides.values())})
        self.write_genes(rng.normal(size=(genes, len(PATIENTS))).astype(np.float32))

    def write_genes(self, values: np.ndarray) -> None:
        ids = [f"ENST{number}" for number in range(len(values))]
        with ExpressionWriter(self.folder / "expression.parquet", PATIENTS) as writer:
            writer.add(ids, ids, values)
            writer.finish({}, {})
        manifest = pd.DataFrame({"id": ids[::-1], "gene": ids[::-1]})
        manifest.to_csv(self.folder / "genes.tsv", sep="\t", index=False)

    @property
    def inputs(self) -> tuple:
        return (self.units, self.index, self.folder / "expression.parquet", self.folder / "genes.tsv")

    def pretrain(self, folder: Path, *, fold: int = 0, train=TRAIN, chosen_on=(), **changes) -> None:
        task = self.task(fold=fold, train_units=train, settings=SETTINGS | changes, chosen_on=chosen_on)
        job.pretrain_fold(task, folder, CPU)

    def task(self, **changes) -> job.PretrainTask:
        """Fold 0 pretrained on the training units, with fields changed."""
        units, *files = self.inputs
        task = job.PretrainTask(units, job.PairedFiles(*files), TRAIN, SETTINGS, 1, 0, "train", 10.0)
        return replace(task, **changes)

    def embed(self, folder: Path, **settings) -> Path:
        path = folder / "embeddings.safetensors"
        embed_fold(self.units, EmbedFiles(*self.inputs[1:], folder), path, settings, seed=1, threads=1, device="cpu")
        return path


def losses(folder: Path) -> pd.DataFrame:
    history = pd.read_csv(folder / "history.csv")
    return history[["epoch", "total", "alignment", "slide_retention", "rna_retention", "style", "cluster", "tau"]]
