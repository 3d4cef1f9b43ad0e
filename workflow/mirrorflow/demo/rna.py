"""RNA as Xena's Toil hub gives it: transcripts x samples, log2(FPKM + 0.001), and the probe map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.demo.settings import generator

PSEUDOCOUNT_FPKM = 0.001

SIGNAL_SHARE = 0.05
"""Share of the genes in the module of the shared factor, and as many in that of the RNA-only factor."""

NUISANCE_MODULES = 4
NUISANCE_SHARE = 0.08
"""Share of the genes in each module that follows a factor unrelated to subtype and outcome."""

LOADING_LOG2 = (0.35, 0.8)
"""Change of a module's gene for one standard deviation of its factor, in log2 FPKM (either sign)."""

GENE_NOISE_LOG2 = 0.6
TRANSCRIPT_NOISE_LOG2 = 0.9
SITE_NOISE_LOG2 = 0.25
"""Batch effect: standard deviation of a site's own shift of a gene."""

MULTIPLE_TRANSCRIPTS_SHARE = 0.33


def draw_transcripts(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Transcripts with their planted module, one row each.

    Columns: the probe map's (id, gene, chrom, chromStart, chromEnd, strand), then gene_index, module
    (shared, rna_only, nuisance1 ..., none), loading and baseline in log2 FPKM.
    """
    rng = generator(settings["seed"], "transcripts")
    gene_of = _genes_of_transcripts(settings["transcripts"], rng)
    genes = int(gene_of.max()) + 1
    module = _draw_modules(genes, rng)
    sign = rng.choice([-1.0, 1.0], genes)
    loading = np.where(module == "none", 0.0, sign * rng.uniform(*LOADING_LOG2, genes))
    expressed = (rng.random(genes) < 0.7) | (module != "none")
    baseline = np.where(expressed, rng.normal(2.5, 1.2, genes), rng.normal(-4.0, 1.5, genes))
    frame = _probe_map(gene_of, rng)
    frame["gene_index"] = gene_of
    frame["module"] = module[gene_of]
    frame["loading"] = loading[gene_of] * rng.uniform(0.5, 1.0, len(gene_of))
    frame["baseline"] = baseline[gene_of] - rng.exponential(0.8, len(gene_of))
    return frame


def _genes_of_transcripts(transcripts: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Index of each transcript's gene; about a third of the genes have two to four transcripts."""
    several = rng.random(transcripts) < MULTIPLE_TRANSCRIPTS_SHARE
    count = np.where(several, rng.integers(2, 5, transcripts), 1)
    return np.repeat(np.arange(transcripts), count)[:transcripts]


def _draw_modules(genes: int, rng: np.random.Generator) -> NDArray[np.object_]:
    """Name of each gene's module, in random order; at least 16 genes in each signal module."""
    module = np.full(genes, "none", dtype=object)
    signal = max(16, round(SIGNAL_SHARE * genes))
    order, start = rng.permutation(genes), 0
    names = {"shared": signal, "rna_only": signal}
    names |= {f"nuisance{i + 1}": round(NUISANCE_SHARE * genes) for i in range(NUISANCE_MODULES)}
    for name, size in names.items():
        module[order[start : start + size]] = name
        start += size
    return module


def _probe_map(gene_of: NDArray[np.intp], rng: np.random.Generator) -> pd.DataFrame:
    """Invented identifiers and places; every gene's transcripts lie on one chromosome and strand."""
    genes, transcripts = int(gene_of.max()) + 1, len(gene_of)
    chromosome = rng.integers(1, 23, genes)[gene_of]
    strand = rng.choice(["+", "-"], genes)[gene_of]
    start = rng.integers(10_000, 100_000_000, genes)[gene_of] + rng.integers(0, 5_000, transcripts)
    number = np.sort(rng.choice(900_000, transcripts, replace=False)) + 100_000
    version = rng.integers(1, 9, transcripts)
    return pd.DataFrame(
        {
            "id": [f"ENST00000{n}.{v}" for n, v in zip(number, version, strict=True)],
            "gene": [f"DG{index + 1:04d}" for index in gene_of],
            "chrom": [f"chr{c}" for c in chromosome],
            "chromStart": start,
            "chromEnd": start + rng.integers(500, 60_000, transcripts),
            "strand": strand,
        }
    )


def draw_samples(patients: pd.DataFrame, without_rna: Sequence[str], seed: int) -> pd.DataFrame:
    """Samples of the matrix in the matrix's order: barcode, patient, type (01, 06 metastasis, 11 normal).

    Every patient but those in ``without_rna`` has a primary tumour; about one in fifteen has a normal,
    and one a metastasis.
    """
    rng = generator(seed, "samples")
    able = [patient for patient in patients["patient"] if patient not in set(without_rna)]
    normals = rng.choice(able, max(2, round(len(able) / 15)), replace=False)
    rows = [(patient, "01") for patient in able] + [(patient, "11") for patient in normals]
    rows.append((str(rng.choice(able)), "06"))
    frame = pd.DataFrame(rows, columns=["patient", "type"])
    frame.insert(0, "sample", frame["patient"] + "-" + frame["type"])
    return frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)


def draw_expression(
    transcripts: pd.DataFrame, samples: pd.DataFrame, patients: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """Expression in log2(FPKM + 0.001), transcripts x samples, the first column ``sample`` (the ids).

    Tumours carry their patient's factors; normals carry none and differ in many genes besides.
    """
    rng = generator(seed, "expression")
    factors = _module_factors(samples, patients, rng)
    module = pd.Categorical(transcripts["module"], categories=factors.columns)
    signal = factors.to_numpy()[:, module.codes].T * transcripts["loading"].to_numpy()[:, None]
    gene = transcripts["gene_index"].to_numpy()
    noise = _gene_noise(int(gene.max()) + 1, samples, patients, rng)[gene]
    noise += rng.normal(0, TRANSCRIPT_NOISE_LOG2, signal.shape)
    level = transcripts["baseline"].to_numpy()[:, None] + signal + noise
    unseen = rng.random(level.shape) < 1 / (1 + np.exp(1.5 * (level + 2.5)))
    fpkm = np.where(unseen, 0.0, np.exp2(level))
    values = pd.DataFrame(np.log2(fpkm + PSEUDOCOUNT_FPKM).round(4), columns=samples["sample"])
    values.insert(0, "sample", transcripts["id"].to_numpy())
    values.columns.name = None
    return values


def _module_factors(samples: pd.DataFrame, patients: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Factor of each module in each sample [sample, module]; ``none`` is 0."""
    own = patients.set_index("patient").loc[samples["patient"], ["shared", "rna_only"]].reset_index(drop=True)
    own[samples["type"].to_numpy() == "11"] = 0.0
    for index in range(NUISANCE_MODULES):
        own[f"nuisance{index + 1}"] = rng.standard_normal(len(samples))
    own["none"] = 0.0
    return own


def _gene_noise(
    genes: int, samples: pd.DataFrame, patients: pd.DataFrame, rng: np.random.Generator
) -> NDArray[np.float64]:
    """What a gene's transcripts have in common beside its module: own noise, site, normal tissue."""
    noise = rng.normal(0, GENE_NOISE_LOG2, (genes, len(samples)))
    site = patients.set_index("patient").loc[samples["patient"], "site"].to_numpy()
    for name in np.unique(site):
        noise[:, site == name] += rng.normal(0, SITE_NOISE_LOG2, (genes, 1))
    noise[:, samples["type"].to_numpy() == "11"] += rng.normal(0, 1.5, (genes, 1))
    return noise
