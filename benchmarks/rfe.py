"""Recursive feature elimination: time, memory, and equality with a converged scikit-learn.

    python benchmarks/rfe.py [--quick] [--threads 2]

Simulated log2(FPKM + 0.001) of 764 patients with correlated transcripts and 18% positives:
- 198,619 transcripts, 5-fold RFECV in 5% steps and the final fit (rfecv_full_*);
- 20,000 transcripts beside scikit-learn's RFECV in the same run, at the published setting
  (rfecv_speedup_vs_sklearn) and tightly converged (same_n_features, support_jaccard);
- one gene at a time: 5,000, 10,000 and 20,000, half the samples, and all 198,619 (step1_*; --quick leaves out the
  last). step1_growth_genes and step1_growth_samples are the exponents with which the time grows in either.
Figures come last, as name=value lines. What choosing genes on the whole cohort buys: benchmarks/gene_optimism.py.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_selection import RFECV
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from mirrorflow.expression.cross_validation import CrossValidation, eliminate_cv, stratified_folds
from mirrorflow.expression.elimination import Elimination, Step, eliminate
from mirrorflow.expression.published_rfe import MAX_ITERATIONS

SAMPLES, TRANSCRIPTS, SUBSET = 764, 198_619, 20_000
POSITIVES, PROGRAMMES, INFORMATIVE = 0.18, 30, 0.01


def simulate(n_genes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """log2(FPKM + 0.001) [patient, transcript] float32, labels, ids; many transcripts are not expressed."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(SAMPLES) < POSITIVES, "ILC", "IDC")
    programmes = rng.standard_normal((SAMPLES, PROGRAMMES), dtype=np.float32)
    values = np.empty((SAMPLES, n_genes), np.float32)
    for start in range(0, n_genes, 4096):
        width = min(4096, n_genes - start)
        level = rng.normal(-2, 4, width).astype(np.float32)
        loading = rng.standard_normal((PROGRAMMES, width), dtype=np.float32) * 0.35
        effect = np.where(rng.random(width) < INFORMATIVE, rng.normal(0, 1.5, width), 0).astype(np.float32)
        log_fpkm = level + programmes @ loading + 1.2 * rng.standard_normal((SAMPLES, width), dtype=np.float32)
        log_fpkm[labels == "ILC"] += effect
        unseen = rng.random((SAMPLES, width), dtype=np.float32) < 1 / (1 + np.exp(1.5 * (log_fpkm + 3)))
        values[:, start : start + width] = np.log2(np.where(unseen, 0, np.exp2(log_fpkm)) + 0.001)
    return values, labels, [f"ENST{number:011d}.1" for number in range(n_genes)]


@dataclass(frozen=True)
class Took:
    """Wall-clock seconds, and CPU seconds of this process (what a busy machine does not stretch)."""

    wall: float
    cpu: float


def timed(label: str, work: Callable[[], Any]) -> tuple[Any, Took]:
    started, cpu_started = time.perf_counter(), time.process_time()
    result = work()
    took = Took(time.perf_counter() - started, time.process_time() - cpu_started)
    print(f"{label}: {took.wall:.1f} s, CPU {took.cpu:.1f} s", flush=True)
    return result, took


def scikit_learn(values: np.ndarray, labels: np.ndarray, threads: int, **machine: Any) -> RFECV:
    svm = LinearSVC(random_state=0, **machine)
    return RFECV(svm, step=0.05, cv=stratified_folds(labels, 5), scoring="accuracy", n_jobs=threads).fit(values, labels)


def full_size(threads: int) -> dict[str, Any]:
    values, labels, ids = simulate(TRANSCRIPTS)
    folds = stratified_folds(labels, 5)
    result, took = timed(
        f"RFECV {values.shape}", lambda: eliminate_cv(values, labels, ids=ids, folds=folds, threads=threads)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "rfecv_full_seconds": round(took.wall, 1),
        "rfecv_full_cpu_seconds": round(took.cpu, 1),
        "rfecv_full_peak_gb": round(peak, 2),
        "rfecv_full_n_features": result.n_features,
    }


def beside_scikit_learn(threads: int) -> dict[str, Any]:
    values, labels, ids = simulate(SUBSET)
    folds = stratified_folds(labels, 5)

    def ours() -> CrossValidation:
        return eliminate_cv(values, labels, ids=ids, folds=folds, threads=threads)

    def theirs(**machine: Any) -> RFECV:
        return scikit_learn(values, labels, threads, **machine)

    # Ours before and after theirs: other load on the machine then hits both alike.
    _, before = timed(f"RFECV {values.shape}", ours)
    published, slow = timed("scikit-learn, published", lambda: theirs(max_iter=MAX_ITERATIONS, dual="auto"))
    result, after = timed(f"RFECV {values.shape}, again", ours)
    converged, _ = timed("scikit-learn, tol 1e-8", lambda: theirs(max_iter=10_000_000, dual=True, tol=1e-8))
    kept = result.elimination.kept
    return {
        "rfecv_20k_seconds": round((before.wall + after.wall) / 2, 2),
        "rfecv_20k_cpu_seconds": round((before.cpu + after.cpu) / 2, 2),
        "sklearn_20k_seconds": round(slow.wall, 1),
        "rfecv_speedup_vs_sklearn": round(2 * slow.wall / (before.wall + after.wall), 1),
        "n_features": result.n_features,
        "n_features_sklearn_converged": int(converged.n_features_),
        "n_features_sklearn_published": int(published.n_features_),
        "same_n_features": result.n_features == converged.n_features_,
        "support_jaccard": round(jaccard(kept, converged.support_), 4),
        "support_jaccard_published_setting": round(jaccard(kept, published.support_), 4),
        "largest_score_difference": float(
            np.abs(result.scores.mean(axis=0)[::-1] - converged.cv_results_["mean_test_score"]).max()
        ),
    }


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def one_gene_at_a_time(name: str, n_genes: int, n_samples: int = SAMPLES) -> dict[str, float]:
    values, labels, ids = simulate(n_genes)
    values, labels = values[:n_samples], labels[:n_samples]

    def path() -> Elimination:
        with threadpool_limits(1):
            return eliminate(values, labels, ids=ids, step=Step(1))

    _, took = timed(f"one gene at a time, {values.shape}", path)
    return {f"{name}_seconds": round(took.wall, 1), f"{name}_cpu_seconds": round(took.cpu, 1)}


def growth(figures: dict[str, Any]) -> dict[str, float]:
    """Exponents of the CPU time in genes (5,000 to 20,000) and in samples (382 to 764)."""
    base = figures["step1_20k_cpu_seconds"]
    genes = np.log2(base / figures["step1_5k_cpu_seconds"]) / 2
    samples = np.log2(base / figures["step1_20k_half_the_samples_cpu_seconds"])
    return {"step1_growth_genes": round(float(genes), 2), "step1_growth_samples": round(float(samples), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out one gene at a time at full size")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    figures = full_size(arguments.threads)
    figures |= beside_scikit_learn(arguments.threads)
    figures |= one_gene_at_a_time("step1_20k", SUBSET)
    figures |= one_gene_at_a_time("step1_10k", SUBSET // 2)
    figures |= one_gene_at_a_time("step1_5k", SUBSET // 4)
    figures |= one_gene_at_a_time("step1_20k_half_the_samples", SUBSET, SAMPLES // 2)
    figures |= growth(figures)
    if not arguments.quick:
        figures |= one_gene_at_a_time("step1_full", TRANSCRIPTS)
    for name, value in figures.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
