"""What a resolved config may leave out of the settings that decide predictions, and what then stands for it."""

from typing import Any

from mirrorflow.config.cohort_settings import Clinical, Cohort
from mirrorflow.config.expression_settings import Rfe, Source
from mirrorflow.config.fields import Section, default_of, keys_of, metadata_of
from mirrorflow.config.methods import method_of
from mirrorflow.config.probe_settings import Embed
from mirrorflow.config.training_settings import Train


def unfilled(method: str, *, pretrained: bool) -> dict[str, Any]:
    """By the sections of a record of predictions; sections that a method's record does not have count for nothing."""
    embedded = {"precision": _newer(Embed)["precision"]} if pretrained else {}
    return embedded | {
        "cohort": {"classes": {}, "train_on": _newer(Cohort)["train_on"]},
        "clinical": {"columns": {}, "cause_specific": None, **_newer(Clinical)},
        "method": {"train": _newer(method_of(method).parts.get("TRAIN", Train))},
        "rna": {"transform": _newer(Source)["transform"]},
        "genes": {"rfe": _newer(Rfe)},
    }


def _newer(of: type[Section]) -> dict[str, Any]:
    """Default of each key that resolved configs name only where the user does (:func:`~.fields.newer`)."""
    return {one.name: default_of(one) for one in keys_of(of) if metadata_of(of, one.name).get("unfilled")}
