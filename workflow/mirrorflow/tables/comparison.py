"""Whether a cell of ours may be compared with a published one, and if not, everything that differs."""

from collections.abc import Mapping
from typing import Any

from mirrorflow.config import PROTOCOL_PRESETS

PAPER_PROTOCOL = PROTOCOL_PRESETS["paper"]
PAPER_PRETRAINING = {
    "width": 768,
    "tokens": 2048,
    "epochs": 100,
    "batch_size": 16,
    "learning_rate": 2e-5,
    "attention": "nystrom",
    "objective": "reference",
    "feature_scaling": "none",
    "losses": ["alignment", "retention", "style", "cluster"],
    "clustering": "prototypes",
    "slide_mask_ratio": 0.75,
    "rna_mask_ratio": 0.75,
    "prototypes": 3000,
    "alignment_weight": 0.5,
    "retention_weight": 0.3,
    "style_clustering_weight": 0.2,
}
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
ADAPTATION = (
    "adaptation: the paper does not say which layers are new, how they are trained, or which fold's weights are taken"
)
PAPER_GENE_SETS = {"genes-porpoise": "families", "genes-survpath": "pathways"}
"""Variants of Table VII, and how their genes are chosen; config/tcga.yaml runs them under these names."""
PAPER_PATCHING = "512px-20x"


def differences(
    cohort: Mapping[str, Any],
    encoder: Mapping[str, Any] | None,
    protocol: Mapping[str, Any],
    method: Mapping[str, Any],
    setting_note: str,
    *,
    name: str = "mirror",
    selection: Mapping[str, Any] | None = None,
) -> list[str]:
    """What differs between a cell of ours and MIRROR's tables, each in a few words.

    cohort: simulated, and adapted_from (the source) where it is an adapted one; encoder: the config's entry, None
    for features made elsewhere; protocol and method: resolved; name: the method's, of which some are the paper's
    ablations; selection: the config's expression.selection. Empty only if everything known matches.
    """
    if cohort["simulated"]:
        return ["simulated cohort"]
    found = [
        f"{key}: {_show(protocol[key])} (paper: {_show(value)})"
        for key, value in PAPER_PROTOCOL.items()
        if protocol[key] != value
    ]
    found += _encoder_differences(encoder)
    if method["family"] == "mirror":
        pretrain = method["pretrain"]
        found += [
            f"pretraining {key}: {_show(pretrain[key])} (paper: {_show(value)})"
            for key, value in {**PAPER_PRETRAINING, **PAPER_VARIANTS.get(name, {})}.items()
            if pretrain[key] != value
        ]
        if "cluster" in pretrain["losses"] and pretrain["clustering"] == "hard":
            found.append("the paper does not give the loss of its hard alignment: ours is 1 - cosine")
    else:
        found.append("the paper names no hyper-parameters of this method")
    if cohort.get("adapted_from"):
        found.append(ADAPTATION)
    if selection and "rna" in method["inputs"]:
        found += _gene_differences(selection, PAPER_GENE_SETS.get(name.partition("--")[2]))
    if setting_note:
        found.append(setting_note)
    found.append("patients, expression and outcome source not shown to be the paper's")
    return found


def _gene_differences(selection: Mapping[str, Any], sets: str | None) -> list[str]:
    """The paper's genes are those of scikit-learn's RFECV at its default tolerance, joined with the census.

    sets: which way of choosing by gene sets a variant of Table VII stands for.
    """
    if sets is not None:
        found = [] if selection["method"] == sets else [f"genes: {selection['method']} (paper: {sets})"]
        found += ["genes joined with the census"] if selection["census"] else []
        return [*found, "gene sets and their match with the matrix not shown to be the paper's"]
    if selection["method"] != "rfe":
        return [f"genes: {selection['method']} (paper: rfe)"]
    found = [] if selection["census"] else ["genes without the census (paper: joined with it)"]
    solver = selection["rfe"]["solver"]
    if solver != "sklearn":
        found.append(f"gene elimination: {solver}, exact (paper: sklearn at its default tolerance)")
    return found


def _encoder_differences(encoder: Mapping[str, Any] | None) -> list[str]:
    if encoder is None:
        return ["features made elsewhere"]
    found = []
    if encoder["weights"] == "random":
        found.append("encoder with random weights")
    if encoder["patching"] != PAPER_PATCHING:
        found.append(f"patches {encoder['patching']} (paper: {PAPER_PATCHING})")
    if encoder["model"] == "resnet50" and encoder["weights_set"] != "IMAGENET1K_V2":
        found.append(f"weights {encoder['weights_set']} (paper: IMAGENET1K_V2)")
    return found


def _show(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
