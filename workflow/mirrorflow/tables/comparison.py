"""Whether a cell of ours may be compared with a published one, and if not, everything that differs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mirrorflow.config.expression_settings import Rfe
from mirrorflow.config.fields import default_of, keys_of
from mirrorflow.config.mask_settings import segmentation_from
from mirrorflow.config.methods import method_of
from mirrorflow.config.queries import CAUSE_SPECIFIC, has_epochs
from mirrorflow.config.training_settings import Train
from mirrorflow.evaluation.cells import LOST
from mirrorflow.tables import published_tta
from mirrorflow.tables.compared import disease_specific
from mirrorflow.tables.published import FEATURES_HERE, PATIENTS, Place, Settings, Unknown, published_settings

SINGLE_CHANGES_HERE = {
    "k-shot draws with a slide under 2,048 patches": "kept",
    "draws at evaluation": "once, by the bag's size",
    "transport of a batch with a slide under 4,096 patches": "each slide solved by itself",
    "transport of the views": "without the tokens' similarity",
}
"""What this workflow does where no setting replays the published code."""
METRICS_HERE = {
    "accuracy": "share of units predicted right",
    "f1_macro": "mean over the fixed list of classes",
    "c_index": "Harrell's",
}


def why_not_comparable(compared: Mapping[str, Any], cell: Mapping[str, Any]) -> list[str]:
    """What differs between a cell of ours and its published counterpart, each in a few words; empty if nothing does.

    compared: as :func:`mirrorflow.tables.compared.settings_compared` gives it; cell: a row of the metrics, with
    protocol, cohort, encoder, setting, task, method, metric, n, patients and note.
    """
    if _simulated(compared["cohorts"], cell["cohort"]):
        return ["simulated cohort"]
    place = place_of(compared, cell)
    published = published_tta.published_settings if "dss" in place.tags else published_settings
    return differences(settings_of(compared, cell), published(place)) + _remarks(cell["note"])


def differences(ours: Mapping[str, Any], published: Settings) -> list[str]:
    """Every published setting that ours differs from, and every one that decides numbers and is not known."""
    found = []
    for key, setting in published.items():
        if isinstance(setting, Unknown):
            found += [setting.why] if setting.named else []
        elif not setting.holds(ours[key]):
            found.append(f"{key}: {_show(ours[key])} ({setting.said_by}: {_show(setting.value)}{setting.doubt})")
    return found


def place_of(compared: Mapping[str, Any], cell: Mapping[str, Any]) -> Place:
    """Where a cell stands among the published ones."""
    name, method = _target(compared["cohorts"], cell["cohort"]), compared["methods"][cell["method"]]
    encoder = _encoder_here(compared, cell)
    rna, selection = "rna" in method["inputs"], method["selection"]
    pathways = rna and "gene_sets" in method
    selected = rna and not (pathways and method["gene_sets"] != "random")
    tags = {
        "few-shot": cell["setting"] != "all",
        "labels": cell["task"] == "subtyping" or rna,
        "features": encoder is not None,
        "resnet50": encoder is not None and encoder["model"] == "resnet50",
        "selected": selected,
        "rfe": selected and selection["method"] == "rfe",
        "curated": selected and selection["census"],
        "pathways": pathways,
        "pretrained": bool(method["pretrain"]),
        "epochs": has_epochs(method),
        "adapted": cell["cohort"] != name,
        "dss": cell["cohort"] in disease_specific(compared),
    }
    said = {tag for tag, there in tags.items() if there} | {cell["task"], method["family"], *method["inputs"]}
    return Place(name, cell["encoder"], cell["method"], cell["metric"], frozenset(said))


def settings_of(compared: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell of ours was made with, by the names that published settings have."""
    name = _target(compared["cohorts"], cell["cohort"])
    cohort, method = compared["cohorts"][name], compared["methods"][cell["method"]]
    protocol, encoder = compared["protocols"][cell["protocol"]], _encoder_here(compared, cell)
    selection = method["selection"]
    return {
        **compared["run"],
        **protocol,
        **cohort["settings"],
        **_evaluated(name, cell),
        "folds": cohort["splits"].get(protocol["splits"], protocol["splits"]),
        "label source": cohort["settings"]["clinical source"],
        "features": "made elsewhere" if encoder is None else FEATURES_HERE,
        **(_settings_of_encoder(encoder, compared["slides"]) if encoder else {}),
        **{f"genes {key}": value for key, value in selection.items() if key != "rfe"},
        **{f"genes rfe {key}": value for key, value in ({"cv_by": Rfe.cv_by} | selection["rfe"]).items()},
        "pathways": method.get("gene_sets"),
        "inputs": method["inputs"],
        **{f"pretraining {key}": value for key, value in method["pretrain"].items()},
        **{f"probe {key}": value for key, value in compared["probe"].items()},
        **_training_of(cell["method"], method),
        **SINGLE_CHANGES_HERE,
        "metric": METRICS_HERE.get(cell["metric"]),
    }


def _training_of(name: str, method: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network that is trained on labels, those that its entry leaves out at their defaults."""
    if "network" not in method:
        return {}
    train = {one.name: default_of(one) for one in keys_of(method_of(name).parts.get("TRAIN", Train))} | method["train"]
    return {f"train {key}": value for key, value in train.items()} | {
        f"network {key}": value for key, value in method["network"].items()
    }


def _settings_of_encoder(encoder: Mapping[str, Any], slides: Mapping[str, Any]) -> dict[str, Any]:
    mask = asdict(segmentation_from(slides["segmentation"]))
    return {
        **{f"encoder {key}": value for key, value in encoder.items() if key not in ("patch", "patching")},
        **{f"patch {key}": value for key, value in encoder["patch"].items()},
        "patch scale": slides["scale"],
        **{f"tissue mask {key}": value for key, value in mask.items()},
    }


def _evaluated(cohort: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    """How many were evaluated, each as a range: units lost with the last batch were, or were not, a patient's only."""
    lost = sum(int(part.split()[0]) for part in _parts(cell["note"]) if part.endswith(LOST))
    units, patients = int(cell["n"]) + lost, int(cell["patients"])
    known = range(patients, patients + lost + 1)
    return {
        "slides evaluated": range(units, units + 1),
        "patients evaluated": known,
        "missing outcomes": "none" if PATIENTS.get(cohort) in known else "left out",
    }


def _remarks(note: str) -> list[str]:
    """What the note says beyond the published loss of the last batch and the outcome's cause, which settings tell."""
    return [part for part in _parts(note) if not part.endswith((LOST, CAUSE_SPECIFIC))]


def _parts(note: str) -> list[str]:
    return [part for part in note.split("; ") if part]


def _target(cohorts: Mapping[str, Any], name: str) -> str:
    return str(cohorts[name].get("target", name))


def _simulated(cohorts: Mapping[str, Any], name: str) -> bool:
    """Whether a cohort, or either of an adapted one's two, is simulated."""
    sides = [cohorts[name].get(side, name) for side in ("target", "source")]
    return any(cohorts[side]["simulated"] for side in sides)


def _encoder_here(compared: Mapping[str, Any], cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The encoder whose features this workflow made; None for features made elsewhere and methods without slides."""
    elsewhere = compared["cohorts"][_target(compared["cohorts"], cell["cohort"])]["made elsewhere"]
    return None if cell["encoder"] in elsewhere else compared["encoders"].get(cell["encoder"])


def _show(value: object) -> str:
    if isinstance(value, range):
        return str(value[0]) if len(value) == 1 else f"{value[0]} to {value[-1]}"
    if isinstance(value, list):
        return "+".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
