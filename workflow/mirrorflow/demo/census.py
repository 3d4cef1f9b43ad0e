"""A gene census with COSMIC's new header (tab-separated), made of invented genes."""

import numpy as np
import pandas as pd

from mirrorflow.demo.settings import generator

COLUMNS = [
    "GENE_SYMBOL",
    "NAME",
    "COSMIC_GENE_ID",
    "CHROMOSOME",
    "GENOME_START",
    "GENOME_STOP",
    "CHR_BAND",
    "SOMATIC",
    "GERMLINE",
    "TUMOUR_TYPES_SOMATIC",
    "TUMOUR_TYPES_GERMLINE",
    "CANCER_SYNDROME",
    "TISSUE_TYPE",
    "MOLECULAR_GENETICS",
    "ROLE_IN_CANCER",
    "MUTATION_TYPES",
    "TRANSLOCATION_PARTNER",
    "OTHER_GERMLINE_MUT",
    "OTHER_SYNDROME",
    "TIER",
    "SYNONYMS",
]

DEMO_TUMOUR = "demo carcinoma"
OTHER_TUMOURS = ("imaginary lymphoma", "invented glioma", "fictional sarcoma")


def draw_census(transcripts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """About one gene in twenty: half of them carry signal and half do not, two in three in the demo's tumour.

    The last entry's symbol is not in the probe map; one of its synonyms is.
    """
    rng = generator(seed, "census")
    genes = transcripts.drop_duplicates("gene").set_index("gene")
    signal = genes.index[genes["module"].isin(["shared", "rna_only"])]
    other = genes.index[~genes["module"].isin(["shared", "rna_only"])]
    size = max(4, len(genes) // 40)
    chosen = [*rng.choice(signal, min(size, len(signal)), replace=False), *rng.choice(other, size, replace=False)]
    entries = pd.DataFrame([_entry(str(gene), genes.loc[gene], rng) for gene in sorted(chosen)], columns=COLUMNS)
    last = entries.index[-1]
    entries.loc[last, "SYNONYMS"] = f"OLD1,{entries.loc[last, 'GENE_SYMBOL']}"
    entries.loc[last, "GENE_SYMBOL"] = "RENAMED1"
    return entries


def _entry(gene: str, place: pd.Series, rng: np.random.Generator) -> dict[str, object]:
    demo = rng.random() < 2 / 3
    others = str(rng.choice(OTHER_TUMOURS))
    return {
        "GENE_SYMBOL": gene,
        "NAME": f"demo gene {int(gene[2:])}",
        "COSMIC_GENE_ID": f"COSG{int(gene[2:]) + 100000}",
        "CHROMOSOME": place["chrom"].removeprefix("chr"),
        "GENOME_START": place["chromStart"],
        "GENOME_STOP": place["chromEnd"],
        "SOMATIC": "y",
        "GERMLINE": "n",
        "TUMOUR_TYPES_SOMATIC": f"{DEMO_TUMOUR}, {others}" if demo else others,
        "TISSUE_TYPE": "E" if demo else "L",
        "MOLECULAR_GENETICS": str(rng.choice(["Dom", "Rec"])),
        "ROLE_IN_CANCER": str(rng.choice(["oncogene", "TSG", "fusion", "oncogene, fusion"])),
        "MUTATION_TYPES": "Mis",
        "TIER": int(rng.choice([1, 2], p=[0.8, 0.2])),
        "SYNONYMS": f"{gene},ENSG{int(gene[2:]) + 500000:011d}",
    }
