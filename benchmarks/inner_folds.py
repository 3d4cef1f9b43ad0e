"""Tune MIRROR on inner folds of real TCGA training patients; every trial is logged, no evaluation patient is seen.

    python benchmarks/inner_folds.py --cohort brca --trial '{"epochs": 12}' --trial '{"epochs": 30}'

Of each outer fold asked for, the published training patients are split again (stratified by label, a quarter is
held out). Genes are chosen, values scaled and MIRROR pretrained on the inner training part alone; then every probe
of PROBES is fitted on its embeddings and judged on the inner held-out part, beside the simple models on the same
patients, and how much of the genes a linear reader finds in the RNA vectors. One JSON line a trial and fold goes to
``--log`` (appended); embeddings are kept in results/inner_folds/, so that further probes cost seconds. Needs
../shared/tcga; one to two minutes a trial and fold. Trials change BASE (keys of the config's section `pretrain`).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sksurv.metrics import concordance_index_censored
from threadpoolctl import threadpool_limits

from mirrorflow.cohorts.splits import draw_support, support_groups, survival_bin_edges, survival_bin_ends
from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.expression.cross_validation import EliminationSettings, eliminate_cv, stratified_folds
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.pretrained import pretrain, split_settings
from mirrorflow.learners.tasks import FoldTask
from mirrorflow.models.families import build_network
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.probes.cox import fit_cox
from mirrorflow.probes.linear import fit_logistic
from mirrorflow.probes.linear_head import HeadSettings, fit_linear_head
from mirrorflow.probes.pooling import pool
from mirrorflow.probes.task import Asked, Targets, subtype_targets, survival_targets
from mirrorflow.store.digest import digest
from mirrorflow.training.bags import ArrayBags, SomeBags
from mirrorflow.training.embedding import Embeddings, EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData

DATA = Path(__file__).parents[2] / "shared" / "tcga"
"""Where the real cohorts lie."""

BASE = {
    "width": 192, "tokens": 64, "epochs": 12, "batch_size": 16, "learning_rate": 3e-4, "schedule": "cosine",
    "warmup_epochs": 2, "prototypes": 256, "attention": "exact", "feature_scaling": "train",
}  # fmt: skip
"""The settings of tests/workflow/configs/tcga_*.yaml; a trial changes some."""

PROBES = {
    "published": {},
    "standardize": {"standardize": True},
    **{f"decay {decay}": {"standardize": True, "weight_decay": decay} for decay in (0.03, 0.1, 0.3, 1.0)},
}
"""Settings of the linear head by name."""

BINS = 4


@dataclass
class Cohort:
    """One cohort in memory: patients (patient, label, time, event), bags and unscaled genes in their order."""

    patients: pd.DataFrame
    bags: list[np.ndarray]
    expression: np.ndarray
    gene_ids: list[str]


def read_cohort(name: str) -> Cohort:
    """Patients of ``name`` with slides and expression."""
    clinical = pd.read_csv(DATA / name / "clinical.tsv", sep="\t").set_index("case_id")
    slides = pd.read_csv(DATA / name / "slides.tsv", sep="\t")
    rna = pd.read_csv(DATA / name / "rna.tsv.gz", sep="\t", index_col=0)
    rna.columns = rna.columns.str[:12]
    here = [p for p in sorted(clinical.index) if p in rna.columns and p in set(slides["case_id"])]
    rows = clinical.loc[here]
    patients = pd.DataFrame(
        {
            "patient": here,
            "label": rows["subtype"].to_numpy(),
            "time_days": rows["os_months"].to_numpy() * 30.4375,
            "event": rows["os_event"].to_numpy(),
        }
    )
    of_patient = slides.groupby("case_id")["slide_id"].apply(list)
    bags = [np.concatenate([_features(name, slide) for slide in of_patient[patient]]) for patient in here]
    return Cohort(patients, bags, rna[here].to_numpy(np.float32).T, rna.index.tolist())


def _features(cohort: str, slide: str) -> np.ndarray:
    with h5py.File(DATA / cohort / "features" / f"{slide}.h5") as file:
        return np.asarray(file["features"], dtype=np.float32)


@dataclass
class Inner:
    """An inner split: rows of the training and the held-out patients, genes [patient, gene] fitted on the first."""

    train: np.ndarray
    held_out: np.ndarray
    genes: np.ndarray


def inner_split(cohort: Cohort, name: str, fold: int, threads: int, min_genes: int) -> Inner:
    """A quarter of the outer training patients held out; genes by RFE on the labels of the rest."""
    sheet = pd.read_csv(DATA / name / "splits" / f"splits_{fold}.csv")
    rows = np.flatnonzero(cohort.patients["patient"].isin(sheet["train"].dropna()))
    strata = cohort.patients["label"].fillna("none").to_numpy()[rows]
    train, held_out = map(np.sort, train_test_split(rows, test_size=0.25, stratify=strata, random_state=fold))
    values = RnaScaler.fit(cohort.expression[train], scaling="train", clip=10.0).transform(cohort.expression)
    labels = cohort.patients["label"].to_numpy()
    known = train[~pd.isna(labels[train])]
    chosen = eliminate_cv(
        values[known], labels[known], ids=cohort.gene_ids, folds=stratified_folds(labels[known], 5),
        how=EliminationSettings(min_features=min_genes), threads=threads,
    ).elimination.kept  # fmt: skip
    return Inner(train, held_out, values[:, chosen])


def scores(cohort: Cohort, split: Inner, vectors: np.ndarray, fit: Any) -> dict[str, float]:
    """As :func:`scores_of_rows`; ``fit`` predicts from (training vectors, held-out vectors, targets, outputs)."""
    return scores_of_rows(cohort, split, lambda train, held_out, *asked: fit(vectors[train], vectors[held_out], *asked))


def scores_of_rows(
    cohort: Cohort, split: Inner, fit: Any, *, shots: int | None = None, seed: int = 0
) -> dict[str, float]:
    """Accuracy, macro F1, AUROC (two classes) and C-index on the held-out part.

    ``fit`` predicts from (training rows, held-out rows, training targets, outputs). shots: train on as many patients
    drawn from each class, or from each bin of survival.
    """
    subtype, survival = [], []
    for rows in (split.train, split.held_out):
        part = cohort.patients.iloc[rows]
        labelled = part["label"].notna().to_numpy()
        known = (part["time_days"].notna() & part["event"].notna() & (part["time_days"] > 0)).to_numpy()
        subtype.append((rows[labelled], part[labelled]))
        survival.append((rows[known], part[known]))
    classes = sorted(cohort.patients["label"].dropna().unique())
    (train, sheet), (held_out, truth) = subtype
    train, sheet = drawn(train, sheet, support_groups(sheet, "subtyping", None), shots, seed)
    target = subtype_targets(sheet, classes)
    probabilities = fit(train, held_out, target, len(classes)).probabilities
    predicted = probabilities.argmax(1)
    expected = subtype_targets(truth, classes).classes
    found = {
        "accuracy": float(accuracy_score(expected, predicted)),
        "f1_macro": float(f1_score(expected, predicted, average="macro")),
        "auroc": float(roc_auc_score(expected, probabilities[:, 1])),
    }
    (train, sheet), (held_out, truth) = survival
    sheet = sheet.assign(event=sheet["event"].astype(bool))
    edges = survival_bin_edges(sheet["time_days"].to_numpy(), sheet["event"].to_numpy(), BINS)
    train, sheet = drawn(train, sheet, support_groups(sheet, "survival", edges), shots, seed)
    risk = fit(train, held_out, survival_targets(sheet, edges), BINS).risk
    event, time_days = truth["event"].to_numpy().astype(bool), truth["time_days"].to_numpy()
    return found | {"c_index": float(concordance_index_censored(event, time_days, risk)[0])}


def drawn(
    rows: np.ndarray, sheet: pd.DataFrame, groups: pd.Series, shots: int | None, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """``shots`` patients of each group, as a run draws them, or all where it is None."""
    if shots is None:
        return rows, sheet
    units = sheet.assign(unit=sheet["patient"])
    support = draw_support(units, groups, shots, np.random.default_rng(seed), replacement=False)
    chosen = sheet["patient"].isin(support["patient"]).to_numpy()
    return rows[chosen], sheet[chosen]


def fold_task_of(targets: Targets, outputs: int, seed: int) -> FoldTask:
    """What a job asks of its method on these training units; nobody held out is in it."""
    subtyping = targets.classes is not None
    edges = None if subtyping else np.arange(outputs + 1.0)  # of the edges, only their number is asked for
    names = [str(number) for number in range(outputs)] if subtyping else []
    task = "subtyping" if subtyping else "survival"
    return FoldTask(task, 0, "all", seed, targets, targets, names, edges, None, None, [])


def simple(train: np.ndarray, held_out: np.ndarray, targets: Targets, outputs: int) -> Any:
    """Logistic regression (C = 0.01), ridge Cox on 50 components (alpha 200)."""
    if targets.classes is not None:
        return fit_logistic(train, targets, C=0.01).predict(held_out, Asked(outputs))
    edges = survival_bin_edges(targets.time_days, targets.event, outputs)
    asked = Asked(0, survival_bin_ends(edges, targets.time_days))
    return fit_cox(train, targets, components=50, alpha=200.0).predict(held_out, asked)


def head(settings: dict[str, Any]) -> Any:
    """The linear head with ``settings``, at MIRROR's learning rates."""

    def fit(train: np.ndarray, held_out: np.ndarray, targets: Targets, outputs: int) -> Any:
        rate = 2e-3 if targets.classes is not None else 5e-4
        chosen = HeadSettings(learning_rate=rate, **settings)
        return fit_linear_head(train[None], held_out[None], targets, outputs, chosen)

    return fit


def pretrained(
    cohort: Cohort, split: Inner, trial: dict[str, Any], seed: int, family: str = "mirror"
) -> tuple[PairedNetwork, PretrainSettings, list[dict]]:
    """A network pretrained on the inner training part, how it was trained, and its history."""
    model_settings, training = split_settings(
        trial, family, patch_dim=cohort.bags[0].shape[1], gene_count=split.genes.shape[1], seed=seed
    )
    model = build_network(family, model_settings, training.seed)
    history = []
    if training.epochs:
        bags = SomeBags(ArrayBags(cohort.bags), split.train)
        history = pretrain(model, PairedData(bags, split.genes[split.train]), training, layout=Layout("cpu"))
    return model, training, history


def embedded(
    cohort: Cohort, genes: np.ndarray | None, model: PairedNetwork, training: PretrainSettings, seed: int
) -> Embeddings:
    """Embeddings of every patient, from bags as ``training`` drew them; ``genes`` None: of slides alone."""
    settings = EmbedSettings(tokens=training.tokens, short=training.short, batch_size=64)
    names = cohort.patients["patient"].tolist()
    return embed(model, ArrayBags(cohort.bags), genes, names, settings, seed=seed, device="cpu")


def genes_kept(split: Inner, rna: np.ndarray) -> float:
    """Median over genes of the R2 with which ridge regression reads them from the RNA vectors, held-out part."""
    scaler = StandardScaler().fit(rna[split.train])
    model = RidgeCV(alphas=np.logspace(0, 4, 9)).fit(scaler.transform(rna[split.train]), split.genes[split.train])
    read = model.predict(scaler.transform(rna[split.held_out]))
    return float(np.median(r2_score(split.genes[split.held_out], read, multioutput="raw_values")))


def run_trial(cohort: Cohort, split: Inner, trial: dict[str, Any], seed: int) -> dict[str, Any]:
    """Scores of every probe on the trial's embeddings, and of the simple models on them."""
    started = time.perf_counter()
    kept = Path("results/inner_folds") / f"{digest([split.train.tolist(), split.genes.shape, trial, seed])}.npy"
    if kept.is_file():
        vectors, history = np.load(kept), []
    else:
        model, training, history = pretrained(cohort, split, BASE | trial, seed)
        vectors = embedded(cohort, split.genes, model, training, seed).joined()
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, vectors)
    seconds = time.perf_counter() - started
    width = vectors.shape[1] // 2
    found = {name: scores(cohort, split, vectors, head(settings)) for name, settings in PROBES.items()}
    parts = {"both": vectors, "slide": vectors[:, :width], "rna": vectors[:, width:]}
    found |= {f"simple on {part}": scores(cohort, split, values, simple) for part, values in parts.items()}
    found["rna vectors"] = {"genes_kept_r2": genes_kept(split, parts["rna"])}
    return {"trial": trial, "seconds": round(seconds, 1), "last": history[-1] if history else {}, "scores": found}


def concat(cohort: Cohort, split: Inner) -> dict[str, dict[str, float]]:
    """The simple models on pooled slides (mean and deviation), genes, and both."""
    slides = np.stack([pool(bag, "mean_std") for bag in cohort.bags])
    parts = {"slides": slides, "rna": split.genes, "both": np.hstack([slides, split.genes])}
    return {f"concat {part}": scores(cohort, split, values, simple) for part, values in parts.items()}


def parser_of(doc: str) -> argparse.ArgumentParser:
    """The options that every benchmark on inner folds has; ``doc``: its docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--trial", type=json.loads, action="append", default=[])
    parser.add_argument("--min-genes", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--log", type=Path, default=Path("results/inner_folds.jsonl"))
    return parser


def started(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with threads set and the log's folder made; ends the program where the cohorts are absent."""
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA}: not here; this benchmark needs the real cohorts")
    torch.set_num_threads(options.threads)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    return options


def log_trials(options: argparse.Namespace, trials: Callable[[Cohort, Inner], Iterator[dict[str, Any]]]) -> None:
    """On each fold of ``options.cohort`` the simple models, then what ``trials`` yields, to the log."""
    cohort = read_cohort(options.cohort)
    with threadpool_limits(options.threads, user_api="blas"):
        for fold in options.folds:
            split = inner_split(cohort, options.cohort, fold, options.threads, options.min_genes)
            base = {"cohort": options.cohort, "fold": fold, "genes": split.genes.shape[1]}
            note(options.log, base | {"trial": "concat", "scores": concat(cohort, split)})
            for row in trials(cohort, split):
                note(options.log, base | row)


def main() -> None:
    parser = parser_of(__doc__)
    parser.set_defaults(threads=2)
    parser.add_argument("--cohort", default="brca")
    options = started(parser)
    log_trials(
        options, lambda cohort, split: (run_trial(cohort, split, trial, options.seed) for trial in options.trial)
    )


def note(log: Path, row: dict[str, Any]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps({key: row[key] for key in ("cohort", "fold", "genes", "trial")}), flush=True)
    for name, found in row["scores"].items():
        print(f"  {name:18s} " + " ".join(f"{key} {value:.3f}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
