"""What TTA's published cells were made with, as far as it is known: a table a part of the chain (docs/tta.md).

Sources: sections and tables are the paper's (arXiv 2511.18089); "code" is the behaviour of its repository at commit
f847140, "log" that of the run beside it (BLCA, fold 4). Where text and code disagree the code is taken, since the log
was written by it. A source that begins with "inferred" is one reading: others are possible, and a difference says so.
"""

from typing import Any

from mirrorflow.tables.known import Count, Known, Place, Setting, Settings, Unknown

CODE, LOG, TABLE_5 = "code", "log", "Table 5"
RELEASED, FROM_LOG = "released code", "released log"


def _code(value: Any, where: str = "", *, source: str = CODE) -> Known:
    return Known(value, source, where, said_by=RELEASED)


RUN: Settings = {
    "seeds": _code([1], "tta"),
    "number of folds": Known(5, "Sec. 4"),
    "expression clip": _code(None, "tta"),
    "unit": _code("patient"),
    "rna_scaling": _code("train", "tta"),
    "epoch": _code(
        "least_loss_on_evaluation",
        "tta",
        source="inferred: the logged choice, and validation counts that are those of the test fold",
    ),
    "evaluate_all": _code(value=True, where="tta"),
}
PATIENTS = {"brca": 868, "blca": 359, "stad": 318, "coadread": 296, "kirc": 340}
"""Sec. 4; MMP's folds hold as many."""
FEATURES_HERE = "made from slides"
COHORT: Settings = {
    "expression matrix": Unknown("expression: the paper does not say which matrix it took", "rna", named=True),
    "outcome": Known("DSS", "Sec. 4"),
    "features": Known(FEATURES_HERE, "Sec. 4", "slides"),
    "pathways": Known("mmp_hallmarks", "Sec. 4 (Hallmark, as MMP has it)", "pathways"),
    "patch size_px": Known(256, "Sec. 4", "features"),
    "patch mpp": Known(0.5, "Sec. 4 (20x)", "features"),
    "patch overlap_px": Known(0, "Sec. 4", "features"),
    "metric": Known("Harrell's", "Sec. 4 (concordance index)"),
}
RESNET50 = Unknown(
    "ResNet-50: its published features are 768 wide, as no stage of a ResNet-50 is: an unknown network", named=True
)
OTHER_METHOD = Unknown("how the paper trained this method is not published", named=True)

NETWORK: Settings = {
    "width": Known(256, TABLE_5),
    "dropout": Known(0.3, TABLE_5),
    "activation": _code("leaky_relu"),
    "prototypes": Known(32, TABLE_5),
    "temperature": Known(0.5, TABLE_5),
    "shared": Known(value=True, source="Sec. 3.2"),
    "transport": Known("curriculum", "Sec. 3.2"),
    "joint": Known(value=True, source="Eq. 5"),
    "gamma": _code(1.0, source="code and log (text: 0.1)"),
    "epsilon": _code(0.1),
    "semantic": _code(0.1, source="code and log (text: none)"),
    "rho_base": Known(0.1, "Sec. 4"),
    "rho_upper": Known(1.0, "Sec. 4"),
    "ramp_epochs": _code(10),
    "rho_at_evaluation": _code("start"),
    "full_bag": _code(4096, source="code: padding voids a slide's plan"),
    "mixing": Known(0.5, TABLE_5),
    "rescaling": _code("rows"),
    "labels": Known("mass", "inferred: the logged loss is rho times 0.5 ln 32; the code has rows", said_by=FROM_LOG),
    "label_weight": Known(0.5, TABLE_5),
    "heads": Known(5, TABLE_5),
    "views_weight": _code(0.01),
    "anchors": Known(value=True, source="Sec. 3.3"),
    "projected": _code(value=False),
    "phi_on_anchors": _code(value=False),
    "contrast_weight": Known(0.5, TABLE_5),
    "contrast_temperature": Known(0.1, TABLE_5),
    "softmax_twice": _code(value=True),
    "restored_head": _code("last"),
}
TRAIN: Settings = {
    "epochs": Known(30, TABLE_5),
    "batch_size": Known(32, TABLE_5),
    "learning_rate": Known(1e-4, TABLE_5),
    "weight_decay": Known(1e-5, TABLE_5),
    "tokens": Known(4096, TABLE_5),
    "schedule": Known("cosine", TABLE_5),
    "warmup_epochs": _code(15),
    "min_steps": Known(0, "code: an epoch is one pass; 30 of them have over 200 steps", also=(200,), said_by=RELEASED),
    "label_smoothing": Unknown("concerns classes alone"),
    "alpha": Unknown("concerns hazards alone"),
    "feature_scaling": _code("none"),
    "precision": Unknown("not said"),
    "cache_gb": Unknown("decides no number"),
    "survival": Known("cox", "Sec. 4"),
    "ties": _code("order"),
    "clip_norm": Known(5.0, TABLE_5),
    "evaluation_tokens": _code(4096),
    "decay": _code("matrices"),
    "batches": _code("random"),
    "every_epoch": Unknown("decides no number"),
}
NOT_REPLAYED: Settings = {
    "draws at evaluation": _code("anew at each access"),
    "transport of a batch with a slide under 4,096 patches": _code("one sweep for all of it"),
    "transport of the views": _code("with the tokens' similarity"),
}
"""What the released code does and no setting replays."""

SWEPT = "inferred: gamma is 1 in the code, and 0.1 there is this weight"
PAPER_VARIANTS: dict[str, dict[str, Any]] = {
    "no-stages": {"shared": False, "transport": "off", "anchors": False, "contrast_weight": 0},
    "together": {"anchors": False, "contrast_weight": 0},
    "apart": {"shared": False, "transport": "off"},
    "respective": {"shared": False, "joint": False},
    "respective-transport": {"joint": False},
    "anchors": {"contrast_weight": 0},
    "contrast": {"anchors": False},
    **{f"heads-{heads}": {"heads": heads} for heads in (0, 3, 8)},
    **{kind: {"transport": kind} for kind in ("kmeans", "balanced", "fixed")},
    **{f"prototypes-{count}": {"prototypes": count} for count in (16, 50)},
    **{f"gamma-{weight}": {"semantic": weight} for weight in (1.0, 0.3, 0.2)},
    **{f"semantic-{weight}": {"semantic": weight} for weight in (1.0, 0.3, 0.2)},
    **{f"label-weight-{weight}": {"label_weight": weight} for weight in (1.0, 0.3, 0.1)},
    **{f"contrast-temperature-{one}": {"contrast_temperature": one} for one in (1.0, 0.5, 0.05)},
    **{f"contrast-weight-{weight}": {"contrast_weight": weight} for weight in (1.0, 0.1, 0.02)},
    "tokens-2048": {"tokens": 2048, "evaluation_tokens": 2048, "full_bag": 2048},
    "batch-64": {"batch_size": 64, "min_steps": 0},
    "learning-rate-5e-5": {"learning_rate": 5e-5},
    "nll": {"survival": "hazards", "alpha": 0.5},
    "epochs-50": {"epochs": 50},
}
"""What the rows of Tables 2 to 4, 6, 7 and 9 change of the whole method; config/tta.yaml runs them under these names,
with ``released-`` before those that stand on the released code's settings."""
OF_THE_CODE = ("semantic", "full_bag", "evaluation_tokens")
"""Keys of these that the paper does not have."""
CLASSIFIERS = Unknown(
    "respective prototypes: prototypes of each modality here, linear layers in the released code", named=True
)
WITHOUT_ANCHORS = Unknown("contrast without anchors: the paper does not say how; the loss alone here", named=True)
NAMED_IN = {"respective": CLASSIFIERS, "contrast": WITHOUT_ANCHORS}


def published_settings(place: Place) -> dict[str, Setting]:
    """Everything that a cell's published counterpart was made with, by the names that differences are told under."""
    ours = "tta" in place.tags
    settings = {
        **RUN,
        **_of_cohort(place.cohort),
        "encoder model": Known(place.encoder, "Sec. 4", "features"),
        **({"768": RESNET50} if place.encoder == "resnet50" else {}),
        **(_of_method(place.method) if ours else {"training": OTHER_METHOD}),
    }
    return {key: setting for key, setting in settings.items() if set(setting.where.split()) <= place.tags}


def _of_cohort(name: str) -> dict[str, Setting]:
    if name not in PATIENTS:
        return dict(COHORT)
    folds, patients = Known(f"mmp_folds_{name}", "Sec. 4 (MMP's)"), Count(PATIENTS[name], "Sec. 4")
    return {**COHORT, "folds": folds, "patients evaluated": patients}


def _of_method(method: str) -> dict[str, Setting]:
    """TTA's settings, those of a variant in their place."""
    variant = method.partition("--")[2].removeprefix("released-")
    changed = PAPER_VARIANTS.get(variant, {})
    named = {f"network {key}": one for key, one in NETWORK.items()} | {
        f"train {key}": one for key, one in TRAIN.items()
    }
    table = {key: _changed(key.partition(" ")[2], one, changed) for key, one in named.items()}
    further = {"variant": NAMED_IN[variant]} if variant in NAMED_IN else {}
    return {**table, **NOT_REPLAYED, **further}


def _changed(key: str, setting: Setting, changed: dict[str, Any]) -> Setting:
    if key not in changed:
        return setting
    source = SWEPT if key == "semantic" else "Tables 2 to 9"
    return Known(changed[key], source, said_by=RELEASED if key in OF_THE_CODE else "paper")
