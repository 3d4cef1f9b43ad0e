"""What MIRROR's published cells were made with, as far as it is known: a table a part of the chain.

Sources: sections and tables are those of MIRROR's paper; "code" is the behaviour of its public repository. A source
that begins with "inferred" is one reading of what is known: others are possible, and a difference says so. What of a
setting is not known is an entry, too, with the reason.
"""

from dataclasses import asdict, replace
from typing import Any

from mirrorflow.config.mask_settings import segmentation_from
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.tables.compared import GIVEN, OWN_SHEET
from mirrorflow.tables.known import Count, Known, Place, Setting, Settings, Unknown

CODE = "code"
RUN: Settings = {
    "seeds": Known([42], CODE),
    "number of folds": Known(5, "Sec. IV-B2"),
    "expression clip": Known(None, CODE, "rna"),
}
CONCERNED = {
    "gene_selection": "rna",
    "rna_scaling": "rna",
    "epoch": "epochs",
    "survival_bins": "survival epochs",
    "few_shot_replacement": "few-shot",
    "few_shot_genes": "few-shot rna",
    "probe_features": "pretrained",
}
"""Cells that a protocol's key concerns; the others concern all."""
PROTOCOL: Settings = {
    key: Known(value, CODE, CONCERNED.get(key, ""))
    for key, value in PROTOCOL_PRESETS["paper"].items()
    if key != "splits"  # the split files are compared, whatever a config calls them
} | {
    "pretraining_epoch": Known(
        "best_on_evaluation",
        "inferred: the code saves the epoch with the least evaluation loss and the last one, its tools read the last; "
        "which one was reported is not said",
        "mirror",
    ),
}

COHORT: Settings = {
    "expression": Known("tcga_RSEM_isoform_fpkm", "Sec. IV-A (Xena) and code", "rna"),
    "probe map": Known("gencode.v23.annotation.transcript.probemap", "Xena's, of that matrix", "rna"),
    "expression scaled upstream": Known(value=False, source=CODE, where="rna"),
    "expression transform": Known("none", CODE, "rna"),
    "patients trained on": Known("common", "Table II: patients have slides and RNA"),
    "kind of slides": Known("Diagnostic Slide", "Table II: its counts are theirs", "slides", (OWN_SHEET,)),
    "clinical source": Known("cbioportal", CODE, "survival"),
    "outcome": Known("OS", "the paper says survival; overall survival is taken for it", "survival", (OWN_SHEET,)),
    "census": Known(GIVEN, "Sec. IV-B1 (COSMIC's, which the user has to give)", "curated"),
    "tumour types of the census": Unknown("the paper names none; its code's numbers of transcripts are all there is"),
}
"""Of every cohort. A sheet of one's own does not say which slides or outcome it holds; who is evaluated is counted."""
CLASSES = {"brca": 2, "nsclc": 2, "rcc": 3, "coadread": 2, "cptac-kidney": 2}
FOLDS = {name: f"mirror_folds_{name}" for name in ("brca", "nsclc", "rcc", "coadread")}
PATIENTS = {"brca": 956, "nsclc": 903, "coadread": 340}
"""Patients in the published validation folds. Table II's samples (955, 1,053, 943, 623) are no number of patients."""
SLIDES = {"nsclc": 1053}
"""Table II's samples where the published folds can hold them: BRCA's and COADREAD's do not fit the folds' patients."""

FEATURES_HERE = "made from slides"
ENCODER: Settings = {
    "encoder weights": Known("hub", "Sec. IV-A", "features"),
    "encoder weights_set": Known("IMAGENET1K_V2", CODE, "features resnet50"),
    "encoder image_size": Known(224, CODE, "features"),
    "encoder precision": Known("float32", "nothing else is said", "features"),
    "encoder output_dtype": Known("float32", "nothing else is said", "features"),
    **{f"encoder {key}": Known(None, "the model's own", "features") for key in ("options", "pooling", "mean", "std")},
    "encoder seed": Unknown("concerns random weights alone, which are named as such"),
}
PATCHES: Settings = {
    "patch size_px": Known(512, CODE, "features"),
    "patch mpp": Known(0.5, "Sec. IV-A (20x)", "features"),
    "patch overlap_px": Known(0, CODE, "features"),
    "patch min_tissue": Known(0.0, CODE, "features"),
    "patch scale": Known("trident", "code: the scanner's magnification, as TRIDENT's rounding takes it", "features"),
    **{
        f"tissue mask {key}": Known(value, CODE, "features")
        for key, value in asdict(segmentation_from({"preset": "mirror"})).items()
    },
}

GENES: Settings = {
    "genes method": Known("rfe", "Sec. III-B, Eq. 2", "selected"),
    "genes census": Known(value=True, source="Sec. III-B, Eq. 3", where="selected"),
    "genes tiers": Unknown("the paper names no tiers of the census"),
    "genes n_genes": Unknown("elimination chooses how many genes are kept"),
    "genes gene_sets": Unknown("elimination takes no gene sets"),
    "genes rfe solver": Known("sklearn", "code: at its default tolerance", "rfe"),
    "genes rfe C": Known(1.0, CODE, "rfe"),
    "genes rfe step": Known(0.05, CODE, "rfe"),
    "genes rfe step_of": Known("original", "code: scikit-learn's way", "rfe"),
    "genes rfe cv": Known(5, "Sec. IV-B1", "rfe"),
    "genes rfe cv_by": Known("label", CODE, "rfe"),
    "genes rfe min_features": Known(1, CODE, "rfe"),
    "genes rfe scoring": Known("accuracy", CODE, "rfe"),
}
PAPER_GENE_SETS: dict[str, Settings] = {
    variant: {
        "expression": Known(f"the processed data that {owner} provides", "Sec. IV-D3", "rna"),
        "genes method": Known(method, "Sec. IV-D3", "selected"),
        "genes census": Known(value=False, source="Sec. IV-D3", where="selected"),
        "genes gene_sets": Known(sets, "Sec. IV-D3", "selected"),
    }
    for variant, owner, method, sets in (
        ("genes-porpoise", "PORPOISE", "families", "porpoise_gene_families"),
        ("genes-survpath", "SurvPath", "pathways", "survpath_pathways"),
    )
}
"""Variants of Table VII, and how their genes are chosen; config/tcga.yaml runs them under these names."""
PATHWAYS: Settings = {
    "pathways": Known("survpath_pathways", "Sec. IV-D3 (Reactome and Hallmarks)", "pathways"),
    "genes of pathways": Unknown(
        "pathways: the paper does not say how they met its refined genes (Sec. IV-C)", "pathways", named=True
    ),
}
"""SurvPath's, whose genes are those of its pathways."""

PRETRAINING: dict[str, Known] = {
    "width": Known(768, CODE),
    "slide_heads": Known(8, CODE),
    "rna_heads": Known(12, CODE),
    "landmarks": Known(None, "code: half the width", also=(384,)),
    "mlp_ratio": Known(2.572, "Sec. V-D: its number of parameters (the code's template says 4.0)"),
    "dropout": Known(0.1, CODE),
    "tokens": Known(2048, CODE),
    "short": Known("resample", "Sec. IV-B1"),
    "slide_mask_ratio": Known(0.75, "Table I"),
    "rna_mask_ratio": Known(0.75, "Table I"),
    "prototypes": Known(3000, CODE),
    "style_widths": Known([512, 256, 128], CODE),
    "attention": Known("nystrom", CODE),
    "objective": Known("reference", CODE),
    "losses": Known(["alignment", "retention", "style", "cluster"], "Eq. 22"),
    "clustering": Known("prototypes", "Sec. III-E"),
    "same_patient_negatives": Known("keep", CODE),
    "alignment_weight": Known(0.5, "Table I"),
    "retention_weight": Known(0.3, "Table I"),
    "style_clustering_weight": Known(0.2, "Table I"),
    "epochs": Known(100, "Table I"),
    "batch_size": Known(16, "Table I"),
    "learning_rate": Known(2e-5, "Table I"),
    "weight_decay": Known(0, CODE),
    "schedule": Known("constant", CODE),
    "warmup_epochs": Known(0, CODE),
    "drop_last": Known(value=False, source="code: training and its evaluation keep the last batch"),
    "replacement": Known(value=False, source=CODE),
    "evaluation_draws": Known("anew", CODE),
    "kept_epoch": Known("protocol", "code: what the protocol's pretraining_epoch says"),
    "precision": Known(
        "float16",
        "code: autocast; float32 computes the same and rounds less, bfloat16 more",
        also=("float32", "bfloat16"),
    ),
    "feature_scaling": Known("none", CODE),
}
"""MIRROR's. TANGLE's are not known (:data:`HYPER_PARAMETERS`)."""
PAPER_VARIANTS: dict[str, dict[str, Any]] = {
    "mirror--alignment": {"losses": ["alignment"]},
    "mirror--alignment-retention": {"losses": ["alignment", "retention"]},
    "mirror--alignment-style-clustering": {"losses": ["alignment", "style", "cluster"]},
    "mirror--deterministic-style": {"losses": ["alignment", "retention", "cluster"]},
    "mirror--hard-clustering": {"clustering": "hard"},
    "mirror--weights-0.3-0.5-0.2": {"alignment_weight": 0.3, "retention_weight": 0.5},
    "mirror--weights-0.3-0.2-0.5": {
        "alignment_weight": 0.3,
        "retention_weight": 0.2,
        "style_clustering_weight": 0.5,
    },
}
"""What the paper's ablations (Tables V, VI, VIII) change; config/ablations.yaml runs them under these names."""
HARD: Settings = {
    "hard alignment": Unknown("the paper does not give the loss of its hard alignment: ours is 1 - cosine", named=True)
}

PROBE: Settings = {
    "epochs": Known(100, "Table I", "pretrained"),
    "batch_size": Known(16, "Table I; code: the power of two below for a set of no more units", "pretrained"),
    "learning_rate": Known(2e-3, "Table I", "pretrained subtyping"),
    "survival_learning_rate": Known(3e-3, "Table I", "pretrained survival"),
    "label_smoothing": Known(0.1, CODE, "pretrained subtyping"),
    "weight_decay": Known(0, CODE, "pretrained"),
    "standardize": Known(value=False, source=CODE, where="pretrained"),
    "drop_last": Known(value=True, source=CODE, where="pretrained"),
    "survival_bins": Known(4, CODE, "pretrained survival"),
}
HYPER_PARAMETERS: Settings = {
    "hyper-parameters": Unknown("the paper names no hyper-parameters of this method", named=True)
}
ADAPTATION: Settings = {
    "adaptation": Unknown(
        "adaptation: the paper does not say which layers are new, how they are trained, or which fold's weights are "
        "taken",
        "adapted",
        named=True,
    )
}
INPUTS = {
    **{name: ["slides", "rna"] for name in ("mirror", "tangle", "porpoise", "survpath")},
    **{name: ["slides"] for name in ("abmil", "ilra-mil", "linear")},
}
"""What each method saw (Sec. IV-C)."""

SINGLE_CHANGES: Settings = {
    "k-shot draws with a slide under 2,048 patches": Known("drawn again", CODE, "few-shot"),
    "missing outcomes": Known("count as 0", CODE, "survival", ("none",)),
}
"""What the published code does and the protocol ``paper`` does not replay."""
METRICS: Settings = {
    "accuracy": Known("share of units predicted right", "Sec. IV-C1"),
    "f1_macro": Known("mean over the fixed list of classes", "Table III: a constant predictor's 0.860 has F1 0.462"),
    "c_index": Known("Harrell's", "Sec. IV-C2"),
}
"""What is known of each; how a class that a fold lacks counts in the published macro F1 is not."""


def published_settings(place: Place) -> dict[str, Setting]:
    """Everything that a cell's published counterpart was made with, by the names that differences are told under."""
    base, _, variant = place.method.partition("--")
    mirror = "mirror" in place.tags
    settings = {
        **RUN,
        **PROTOCOL,
        **_of_cohort(place.cohort),
        **_of_encoder(place.encoder),
        **PATCHES,
        **GENES,
        **PAPER_GENE_SETS.get(variant, {}),
        **PATHWAYS,
        **(_of_pretraining(place.method) if mirror else HYPER_PARAMETERS),
        **{f"probe {key}": setting for key, setting in PROBE.items()},
        **ADAPTATION,
        **({"inputs": Known(INPUTS[base], "Sec. IV-C")} if base in INPUTS else {}),
        **SINGLE_CHANGES,
        **({"metric": METRICS[place.metric]} if place.metric in METRICS else {}),
    }
    return {key: setting for key, setting in settings.items() if set(setting.where.split()) <= place.tags}


def _of_cohort(name: str) -> dict[str, Setting]:
    folds = Known(FOLDS[name], "its repository's split files") if name in FOLDS else None
    patients = Count(PATIENTS[name], "the published split files") if name in PATIENTS else None
    return {
        **COHORT,
        "folds": folds or Unknown("folds: the paper's of this cohort are not published", named=True),
        "features": Known(FEATURES_HERE, "Sec. IV-A", "slides"),
        "patients evaluated": patients or Unknown("patients: how many the paper evaluates is not known", named=True),
        **({"slides evaluated": Count(SLIDES[name], "Table II")} if name in SLIDES else {}),
        **({"number of classes": Known(CLASSES[name], "Table II, Sec. V-B", "labels")} if name in CLASSES else {}),
        # Subtypes of the others are the projects that patients belong to, whoever lists them.
        **({"label source": Known("cbioportal", CODE, "labels")} if name == "brca" else {}),
    }


def _of_encoder(name: str) -> dict[str, Setting]:
    known = {"encoder model": Known(name, "Sec. IV-A", "features")} if name in ("resnet50", "phikon") else {}
    return {**ENCODER, **known}


def _of_pretraining(method: str) -> dict[str, Setting]:
    """MIRROR's settings, those of an ablation in their place."""
    changed = PAPER_VARIANTS.get(method, {})
    table = {
        key: replace(setting, value=changed[key], source="Tables V, VI, VIII") if key in changed else setting
        for key, setting in PRETRAINING.items()
    }
    hard = HARD if method == "mirror--hard-clustering" else {}
    return {**{f"pretraining {key}": setting for key, setting in table.items()}, **hard}
