"""Protocols: the presets, how an entry of the config becomes one, and the model scope that several share."""

from collections.abc import Mapping
from typing import Any

from mirrorflow.errors import ConfigError

SITE_PRESERVED = "site_preserved"
"""Folds that keep every site on one side."""

PROTOCOL_PRESETS: dict[str, dict[str, Any]] = {
    "honest": {
        "unit": "patient",
        "splits": SITE_PRESERVED,
        "gene_selection": "fold",
        "rna_scaling": "train",
        "pretraining_epoch": "last",
        "epoch": "last",
        "survival_bins": "fold",
        "few_shot_replacement": False,
        "few_shot_genes": "none",
        "probe_features": "frozen",
        "evaluate_all": True,
    },
    "paper": {
        "unit": "slide",
        "splits": "published",
        "gene_selection": "cohort",
        "rna_scaling": "none",
        "pretraining_epoch": "best_on_evaluation",
        "epoch": "best_on_evaluation",
        "survival_bins": "cohort",
        "few_shot_replacement": True,
        "few_shot_genes": "all",
        "probe_features": "resampled_dropout",
        "evaluate_all": False,
    },
}

PROTOCOL_PRESETS["honest-published"] = PROTOCOL_PRESETS["honest"] | {"splits": "published"}
PROTOCOL_PRESETS["tta-paper"] = PROTOCOL_PRESETS["honest"] | {
    "splits": "mmp",
    "epoch": "least_loss_on_evaluation",
    "survival_bins": "cohort",
}
"""How TTA's released code selects: on MMP's folds, with validation patients that are the test patients."""

ON_EVALUATION = ("best_on_evaluation", "least_loss_on_evaluation")
"""Values of ``epoch`` that choose it on the units that are evaluated."""


def epoch_of_adaptation(epoch: str) -> str:
    """What adaptation takes for a protocol's ``epoch``: the best on the evaluation fold, or the last."""
    return "best_on_evaluation" if epoch in ON_EVALUATION else "last"


SCOPE_KEYS = ("unit", "splits", "gene_selection", "rna_scaling")

GENERATED_SPLITS = ("random", SITE_PRESERVED)

REPAIRED = "-repaired"
"""What a protocol's ``splits`` ends with where it takes a folder's folds with every patient kept once."""

SEES_LABELS = ("rfe", "univariate_f")
"""Values of ``expression.selection.method`` that look at labels."""


def resolved_protocol(name: str, keys: Mapping[str, Any] | None) -> dict[str, Any]:
    """A protocol's entry on top of its preset. Raises ConfigError where it names none."""
    keys = dict(keys or {})
    preset = keys.pop("preset", name)
    if preset not in PROTOCOL_PRESETS:
        presets = ", ".join(sorted(PROTOCOL_PRESETS))
        message = f"protocols.{name}: needs `preset:`, one of {presets} (it names none, and its own name is none)"
        raise ConfigError(message)
    claims_honest = keys.pop("claims_honest", preset.startswith("honest"))
    return {**PROTOCOL_PRESETS[preset], **keys, "preset": preset, "claims_honest": claims_honest}


SINGLE_CHANGE = "change--"
"""What the names of protocols that differ from the base in one published choice begin with."""


def single_change_protocols(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The protocols of the optimism table: the base with one key at a time as ``against`` has it."""
    optimism, protocols = config["evaluation"]["optimism"], config["protocols"]
    if not optimism:
        return {}
    for key in ("base", "against"):
        if optimism[key] not in protocols:
            message = f"evaluation.optimism.{key}: {optimism[key]!r} is no protocol; there are {', '.join(protocols)}"
            raise ConfigError(message)
    base, against = protocols[optimism["base"]], protocols[optimism["against"]]
    keys = optimism["changes"] or [key for key in against if key not in ("preset", "claims_honest")]
    unknown = [key for key in keys if key not in against]
    if unknown:
        message = f"evaluation.optimism.changes: {', '.join(unknown)} is no key of a protocol ({', '.join(against)})"
        raise ConfigError(message)
    if strange := [name for name in optimism["methods"] if name not in config["methods"]]:
        message = f"evaluation.optimism.methods: {', '.join(strange)}: the run has {', '.join(config['methods'])}"
        raise ConfigError(message)
    return {
        f"{SINGLE_CHANGE}{key}": {**base, key: against[key], "claims_honest": False}
        for key in keys
        if base[key] != against[key]
    }


def repair_hint(splits: str) -> str:
    """How folds of a folder that share patients are fixed, for messages."""
    return f"`splits: {splits}{REPAIRED}` in the protocol takes the same folds with every patient kept once"


FEW_SHOT_KEYS = ("few_shot_replacement", "few_shot_genes")


def label_keys(protocol: Mapping[str, Any], *, few_shot: bool = False) -> dict[str, Any]:
    """What of a protocol moves a model that is trained on labels, besides the keys of its model scope.

    ``evaluate_all`` counts where the reported epoch is chosen on the units that are evaluated; few_shot: of the
    k-shot settings, whose support sets and genes have keys of their own.
    """
    keys = {key: protocol[key] for key in ("epoch", "survival_bins", "probe_features")}
    if protocol["epoch"] in ON_EVALUATION:
        keys["evaluate_all"] = protocol["evaluate_all"]
    return keys | ({key: protocol[key] for key in FEW_SHOT_KEYS} if few_shot else {})


def label_scope_of(protocol: Mapping[str, Any], *, few_shot: bool = False) -> str:
    """Name of what protocols may share of models trained on labels: the model scope, then :func:`label_keys`.

    ``patient-site_preserved-fold-train-last-fold-frozen``: epoch, survival bins and the probe's features follow the
    model scope. ``-lost`` where the epoch is chosen without the units that the published loaders lose.
    """
    keys = label_keys(protocol, few_shot=few_shot)
    name = "-".join([scope_of(protocol), keys["epoch"], keys["survival_bins"], keys["probe_features"]])
    name += "" if keys.get("evaluate_all", True) else "-lost"
    if not few_shot:
        return name
    return f"{name}-{'replaced' if keys['few_shot_replacement'] else 'once'}-{keys['few_shot_genes']}"


def scope_of(protocol: Mapping[str, Any]) -> str:
    """Name of what protocols may share: unit, splits, gene selection and scaling decide the models, and so does
    ``-best`` behind them: pretrained ones are then those of the epoch that is best on evaluation patients.
    """
    name = "-".join(str(protocol[key]) for key in SCOPE_KEYS)
    return f"{name}-best" if protocol["pretraining_epoch"] == "best_on_evaluation" else name
